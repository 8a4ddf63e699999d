import {
  add,
  concat,
  gather,
  gemm,
  matMul,
  mul,
  reshape,
  slice,
  softmax,
  split,
  transpose,
  type Value,
} from "../../graph/index.ts";
import type { ModelInGraph, VectorOptions } from "../architecture.ts";
import { causalShares } from "../causal-shares.ts";
import { inRows, onceEach } from "../distinct.ts";
import { noDropout } from "../dropout.ts";
import { dense } from "../layers.ts";
import type { GptBigCodeConfig } from "./config.ts";
import { attentionRows } from "./shapes.ts";

/**
 * GPT-BigCode (`modeling_gpt_bigcode.py` of Hugging Face transformers) as a graph. Hidden states are kept flat,
 * [B·T, hidden], so that every dense layer is one matrix product on the weight as torch stores it, [out, in].
 */
export type GptBigCode = ModelInGraph<GptBigCodeConfig>;

/** Where rows end in a batch that is padded on the right. */
export interface Padding {
  /** 1 at each row's last token, [B, 1, T]. */
  readonly ends: Value;
  /** Added to the attention scores of the last tokens, [B, 1, 1, T]: 0 for tokens, the lowest float for padding. */
  readonly keyBias: Value;
}

export interface DecoderOptions extends Pick<VectorOptions, "dropout" | "distinct"> {
  /** Absent: rows of one length, without padding. */
  readonly padding?: Padding;
}

/** A layer: its number, what it reads and what it is computed for. */
export interface LayerOptions extends DecoderOptions {
  readonly layer: number;
  readonly batch: string;
  readonly length: string;
  /** Tokens that the layer's output is computed for. */
  readonly queries: "all" | "last";
  /** Added to the attention scores. */
  readonly bias: Value | undefined;
}

/** Rows of [B·T, hidden], or of distinct tokens' [D, hidden], for which the layer is computed. */
export function askedTokens({ config }: GptBigCode, x: Value, options: LayerOptions): Value {
  const { batch, length, padding, queries, distinct } = options;
  if (queries === "all") return x;
  if (distinct !== undefined) {
    return reshape(gather(x, slice(distinct.places, 1, -1)), [-1, config.hiddenSize]);
  }
  const rows = reshape(x, [batch, length, config.hiddenSize]);
  const last = padding === undefined ? slice(rows, 1, -1) : matMul(padding.ends, rows);
  return reshape(last, [-1, config.hiddenSize]);
}

/**
 * Attention of the asked tokens over all tokens, by the layer's `c_attn`: [·, hidden] from normed states of all or of distinct tokens. The
 * products of queries and keys are computed for each row; dense layers once for each distinct token.
 */
export function attention(model: GptBigCode, normed: Value, name: string, options: LayerOptions): Value {
  const context = model.config.multiQuery
    ? multiQueryAttention(model, normed, name, options)
    : multiHeadAttention(model, normed, name, options);
  return options.queries === "all" ? onceEach(context, options.distinct) : context;
}

/** With one key and value for all heads. */
function multiQueryAttention(model: GptBigCode, normed: Value, name: string, options: LayerOptions): Value {
  const { hiddenSize, heads } = model.config;
  const { batch, length } = options;
  const headSize = hiddenSize / heads;
  const [queries, keys, values] = queryKeyValue(model, normed, name, options);
  // The heads of a token are rows of one matrix, as they share their keys.
  const query = reshape(queries, [batch, -1, headSize]);
  const key = transpose(reshape(keys, [batch, length, headSize]), [0, 2, 1]);
  const products = matMul(query, key);

  const tokens = options.queries === "last" ? 1 : length;
  const shares = attentionShares(model, reshape(products, [batch, tokens, heads, length]), options);
  const flat = reshape(shares, [batch, products.shape[1]!, length]);
  const context = weightedSums(flat, reshape(values, [batch, length, headSize]), options);
  return reshape(context, [-1, hiddenSize]);
}

/**
 * Shares [B, ·, T] times values [B, T, head]. A product with fewer rows than columns is split by columns where there are threads to spare, and
 * onnxruntime adds up a narrow product of more than 256 terms in other blocks. So rows are repeated until they are as many as the columns.
 */
function weightedSums(shares: Value, values: Value, { queries }: LayerOptions): Value {
  const [rows, columns] = [shares.shape[1]!, values.shape[2]!] as [number, number];
  if (queries === "all" || rows >= columns) return matMul(shares, values);
  const repeated = concat(new Array<Value>(Math.ceil(columns / rows)).fill(shares), 1);
  return slice(matMul(repeated, values), 1, 0, rows);
}

/** Scaled queries of the asked tokens, keys and values of all: [·, hidden], [B·T, head] and [B·T, head]. */
function queryKeyValue(
  model: GptBigCode,
  normed: Value,
  name: string,
  options: LayerOptions,
): [Value, Value, Value] {
  const { hiddenSize, heads, scoreScale } = model.config;
  const headSize = hiddenSize / heads;
  const rows = attentionRows(model.config);
  // Scaling the query instead of the scores touches fewer elements.
  if (options.queries === "all") {
    const mapped = inRows(dense(model, normed, name), options.distinct);
    const [query, key, value] = split(mapped, [hiddenSize, headSize, headSize]);
    return [mul(query!, scoreScale), key!, value!];
  }
  const query = denseRows(model, askedTokens(model, normed, options), name, [0, hiddenSize]);
  const mapped = inRows(denseRows(model, normed, name, [hiddenSize, rows]), options.distinct);
  const [key, value] = split(mapped, [headSize, headSize]);
  return [mul(query, scoreScale), key!, value!];
}

/** With a key and a value for each head, whose rows of the weight follow its query's. */
function multiHeadAttention(model: GptBigCode, normed: Value, name: string, options: LayerOptions): Value {
  const { hiddenSize, heads, scoreScale } = model.config;
  const { batch, length } = options;
  const headSize = hiddenSize / heads;
  const mapped = inRows(dense(model, normed, name), options.distinct);
  const parts = reshape(mapped, [batch, length, heads, 3 * headSize]);
  const [queries, keys, values] = split(parts, [headSize, headSize, headSize]);
  const asked = options.queries === "last" ? lastQueries(queries!, options) : queries!;
  const query = transpose(mul(asked, scoreScale), [0, 2, 1, 3]);
  const products = matMul(query, transpose(keys!, [0, 2, 3, 1]));
  const shares = attentionShares(model, products, options);
  const context = matMul(shares, transpose(values!, [0, 2, 1, 3]));
  return reshape(transpose(context, [0, 2, 1, 3]), [-1, hiddenSize]);
}

/** Queries [B, T, heads, head] of each row's last token, [B, 1, heads, head]. */
function lastQueries(queries: Value, { batch, length, padding }: LayerOptions): Value {
  if (padding === undefined) return slice(queries, 1, -1);
  const [, , heads, headSize] = queries.shape as [string, string, number, number];
  const flat = matMul(padding.ends, reshape(queries, [batch, length, heads * headSize]));
  return reshape(flat, [batch, 1, heads, headSize]);
}

function attentionShares(
  { form }: GptBigCode,
  products: Value,
  { bias, layer, dropout = noDropout }: LayerOptions,
): Value {
  const shares = bias === undefined ? softmax(products) : causalShares(add(products, bias), form);
  return dropout(shares, `layer.${layer}.attention.probs`);
}

/** Some of a dense layer's outputs. */
const denseRows = ({ weights }: GptBigCode, x: Value, name: string, rows: readonly [number, number]): Value =>
  gemm(x, weights.rows(`${name}.weight`, rows), weights.rows(`${name}.bias`, rows), { transB: true });
