import {
  add,
  cast,
  gelu,
  gemm,
  greater,
  layerNormalization,
  matMul,
  mul,
  range,
  relu,
  reshape,
  slice,
  softmax,
  split,
  transpose,
  unsqueeze,
  type Value,
} from "../../graph/index.ts";
import type { ModelInGraph, VectorOptions } from "../architecture.ts";
import { noDropout } from "../dropout.ts";
import type { ModelLayout } from "../layout.ts";
import { LOWEST_FLOAT32 } from "../padded.ts";
import type { Activation, GptBigCodeConfig } from "./config.ts";
import { attentionRows } from "./shapes.ts";

/**
 * GPT-BigCode (`modeling_gpt_bigcode.py` of Hugging Face transformers) as a graph. Hidden states are kept flat,
 * [B·T, hidden], so that every dense layer is one matrix product on the weight as torch stores it, [out, in].
 */
type GptBigCode = ModelInGraph<GptBigCodeConfig>;

/** Where rows end in a batch that is padded on the right. */
export interface Padding {
  /** 1 at each row's last token, [B, 1, T]. */
  readonly ends: Value;
  /** Added to the attention scores of the last tokens, [B, 1, 1, T]: 0 for tokens, the lowest float for padding. */
  readonly keyBias: Value;
}

export interface DecoderOptions extends Pick<VectorOptions, "dropout"> {
  /** Absent: rows of one length, without padding. */
  readonly padding?: Padding;
}

/** Names of the two tables that a token's vector is looked up in. */
export const embeddingTables = ({ prefix }: Pick<ModelLayout, "prefix">) => ({
  word: `${prefix}transformer.wte.weight`,
  position: `${prefix}transformer.wpe.weight`,
});

/** Word and position vectors added up: [B, T, hidden]. Without `positions` [B, T] they are 0, 1, 2, … */
export function embed({ layout, weights }: GptBigCode, words: Value, positions?: Value): Value {
  const { position } = embeddingTables(layout);
  if (positions !== undefined) return add(words, weights.lookup(position, positions));
  return add(words, slice(weights.get(position), 0, 0, words.shape[1]!));
}

/**
 * The head's input: the final state of each row's last token, [B, hidden], from embeddings [B, T, hidden]. The last layer is computed for
 * that token only; its keys and values need every token. No token sees a later one, so what stands behind the last is never read.
 */
export function rowVectors(model: GptBigCode, embedded: Value, options: DecoderOptions): Value {
  const { config, layout, graph } = model;
  const { dropout = noDropout } = options;
  const [batch, length] = embedded.shape as [string, string];
  const causal = graph.scope("causal", () => causalBias(model, length));
  let hidden = dropout(reshape(embedded, [-1, config.hiddenSize]), "embeddings");
  for (let layer = 0; layer < config.layers; layer++) {
    const queries = layer === config.layers - 1 ? "last" : "all";
    const bias = queries === "all" ? causal : options.padding?.keyBias;
    hidden = graph.scope(`layer.${layer}`, () =>
      decoderLayer(model, hidden, { ...options, layer, batch, length, queries, bias }),
    );
  }
  return norm(model, hidden, `${layout.prefix}transformer.ln_f`);
}

/** Added to attention scores: the lowest float where the key stands behind the query, [T, 1, T], or [T, T] where heads come first. */
function causalBias({ graph, config }: GptBigCode, length: string): Value {
  const columns = range(graph, length);
  const later = greater(unsqueeze(columns, [0]), unsqueeze(columns, [1]));
  const bias = mul(cast(later, "float32"), LOWEST_FLOAT32);
  return config.multiQuery ? unsqueeze(bias, [1]) : bias;
}

interface LayerOptions extends DecoderOptions {
  readonly layer: number;
  readonly batch: string;
  readonly length: string;
  /** Tokens that the layer's output is computed for. */
  readonly queries: "all" | "last";
  /** Added to the attention scores. */
  readonly bias: Value | undefined;
}

/** Hidden states [B·T, hidden] through one layer: [B·T, hidden], or [B, hidden] where only the last token is asked for. */
function decoderLayer(model: GptBigCode, hidden: Value, options: LayerOptions): Value {
  const { layer, dropout = noDropout } = options;
  const at = `${model.layout.prefix}transformer.h.${layer}`;
  const asked = (x: Value) => (options.queries === "last" ? lastTokens(model, x, options) : x);

  const normed = norm(model, hidden, `${at}.ln_1`);
  const attention = model.config.multiQuery ? multiQueryAttention : multiHeadAttention;
  const context = attention(model, normed, asked(normed), `${at}.attn.c_attn`, options);
  const projected = dense(model, context, `${at}.attn.c_proj`);
  const attended = add(dropout(projected, `layer.${layer}.attention.output`), asked(hidden));

  const inner = dense(model, norm(model, attended, `${at}.ln_2`), `${at}.mlp.c_fc`);
  const outer = dense(model, activate(inner, model.config.activation), `${at}.mlp.c_proj`);
  return add(dropout(outer, `layer.${layer}.output`), attended);
}

function lastTokens({ config }: GptBigCode, x: Value, { batch, length, padding }: LayerOptions): Value {
  const rows = reshape(x, [batch, length, config.hiddenSize]);
  const last = padding === undefined ? slice(rows, 1, -1) : matMul(padding.ends, rows);
  return reshape(last, [-1, config.hiddenSize]);
}

/** Attention of the asked tokens over all tokens with one key and value for all heads; the result has the shape of `asked`. */
function multiQueryAttention(
  model: GptBigCode,
  normed: Value,
  asked: Value,
  name: string,
  options: LayerOptions,
): Value {
  const { hiddenSize, heads } = model.config;
  const { batch, length } = options;
  const headSize = hiddenSize / heads;
  const [queries, keys, values] = queryKeyValue(model, normed, asked, name);
  // The heads of a token are rows of one matrix, as they share their keys.
  const query = reshape(queries, [batch, -1, headSize]);
  const key = transpose(reshape(keys, [batch, length, headSize]), [0, 2, 1]);
  const products = matMul(query, key);

  const tokens = options.queries === "last" ? 1 : length;
  const shares = attentionShares(model, reshape(products, [batch, tokens, heads, length]), options);
  const flat = reshape(shares, [batch, products.shape[1]!, length]);
  const context = matMul(flat, reshape(values, [batch, length, headSize]));
  return reshape(context, [-1, hiddenSize]);
}

/** Scaled queries of the asked tokens, keys and values of all: [·, hidden], [B·T, head] and [B·T, head]. */
function queryKeyValue(model: GptBigCode, normed: Value, asked: Value, name: string): [Value, Value, Value] {
  const { hiddenSize, heads, scoreScale } = model.config;
  const headSize = hiddenSize / heads;
  const rows = attentionRows(model.config);
  // Scaling the query instead of the scores touches fewer elements.
  if (asked === normed) {
    const [query, key, value] = split(dense(model, normed, name), [hiddenSize, headSize, headSize]);
    return [mul(query!, scoreScale), key!, value!];
  }
  const query = denseRows(model, asked, name, [0, hiddenSize]);
  const [key, value] = split(denseRows(model, normed, name, [hiddenSize, rows]), [headSize, headSize]);
  return [mul(query, scoreScale), key!, value!];
}

/** The same with a key and a value for each head, whose rows of the weight follow its query's. */
function multiHeadAttention(
  model: GptBigCode,
  normed: Value,
  _asked: Value,
  name: string,
  options: LayerOptions,
): Value {
  const { hiddenSize, heads, scoreScale } = model.config;
  const { batch, length } = options;
  const headSize = hiddenSize / heads;
  const parts = reshape(dense(model, normed, name), [batch, length, heads, 3 * headSize]);
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

function attentionShares(_model: GptBigCode, products: Value, options: LayerOptions): Value {
  const { bias, layer, dropout = noDropout } = options;
  const scores = bias === undefined ? products : add(products, bias);
  return dropout(softmax(scores), `layer.${layer}.attention.probs`);
}

function activate(x: Value, activation: Activation): Value {
  if (activation === "relu") return relu(x);
  return gelu(x, activation === "gelu tanh" ? "tanh" : "none");
}

const dense = ({ weights }: GptBigCode, x: Value, name: string): Value =>
  gemm(x, weights.get(`${name}.weight`), weights.get(`${name}.bias`), { transB: true });

/** Some of a dense layer's outputs. */
const denseRows = ({ weights }: GptBigCode, x: Value, name: string, rows: readonly [number, number]): Value =>
  gemm(x, weights.rows(`${name}.weight`, rows), weights.rows(`${name}.bias`, rows), { transB: true });

const norm = ({ config, weights }: GptBigCode, x: Value, name: string): Value =>
  layerNormalization(x, weights.get(`${name}.weight`), weights.get(`${name}.bias`), {
    epsilon: config.layerNormEps,
  });
