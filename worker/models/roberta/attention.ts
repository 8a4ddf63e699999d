import {
  add,
  matMul,
  mul,
  multiHeadAttention,
  reshape,
  softmax,
  transpose,
  type Value,
} from "../../graph/index.ts";
import { absorbedAttention } from "../absorbed.ts";
import type { DistinctTokens, ModelInGraph, VectorOptions } from "../architecture.ts";
import { inRows } from "../distinct.ts";
import { noDropout } from "../dropout.ts";
import { dense } from "../layers.ts";
import type { RobertaConfig } from "./config.ts";

/**
 * RoBERTa (`modeling_roberta.py` of Hugging Face transformers) as a graph. Hidden states are kept flat,
 * [B·T, hidden], so that every dense layer is one matrix product on the weight as torch stores it, [out, in].
 */
export type Roberta = ModelInGraph<RobertaConfig>;

export interface EncoderOptions extends VectorOptions {
  /** Added to the attention scores, [B, 1, 1, T]: 0 for tokens, the lowest float for padding. Absent: no padding. */
  readonly keyBias?: Value;
  /** Share of each token in the mean over tokens, [B, 1, T]: 0 for padding. Absent: all alike. */
  readonly tokenShares?: Value;
}

/** A layer: its number, what it reads and what it is computed for. */
export interface LayerOptions extends EncoderOptions {
  readonly layer: number;
  readonly batch: string;
  readonly length: string;
  /** Tokens that the layer's output is computed for. */
  readonly queries: "all" | "first";
  readonly project: Project;
}

/** All tokens through a dense layer: [B·T, hidden]. */
export type Project = (name: string) => Value;

export const projectAll =
  (model: Roberta, hidden: Value): Project =>
  (name) =>
    dense(model, hidden, name);

/** The same from distinct tokens, which go through it once. A row of a dense layer does not depend on the others, so no bit changes. */
export const projectDistinct =
  (model: Roberta, tokens: Value, distinct: DistinctTokens): Project =>
  (name) =>
    inRows(dense(model, tokens, name), distinct);

/**
 * Multi-head attention of the asked tokens over all tokens, by the layer's parts below `at`; the result has the shape of `asked`. `asked` and
 * `hidden` are the layer's input for the asked tokens and for all.
 */
export function attention(
  model: Roberta,
  asked: Value,
  hidden: Value,
  at: string,
  options: LayerOptions,
): Value {
  if (model.form === "primitive") return primitiveAttention(model, asked, at, options);
  return options.queries === "all"
    ? fusedAttention(model, at, options)
    : oneTokenAttention(model, asked, hidden, at, options);
}

function primitiveAttention(model: Roberta, asked: Value, at: string, options: LayerOptions): Value {
  const { hiddenSize, heads } = model.config;
  const { batch, length, keyBias, project, dropout = noDropout } = options;
  const headSize = hiddenSize / heads;
  const [asks, queries] =
    options.queries === "first"
      ? [dense(model, asked, `${at}.query`), 1 as const]
      : [project(`${at}.query`), length];

  const split = (x: Value, tokens: string | 1) => reshape(x, [batch, tokens, heads, headSize]);
  // Scaling the query instead of the scores touches fewer elements.
  const query = transpose(split(mul(asks, 1 / Math.sqrt(headSize)), queries), [0, 2, 1, 3]);
  const key = transpose(split(project(`${at}.key`), length), [0, 2, 3, 1]);
  const value = transpose(split(project(`${at}.value`), length), [0, 2, 1, 3]);

  const products = matMul(query, key);
  const scores = keyBias === undefined ? products : add(products, keyBias);
  const shares = dropout(softmax(scores), `layer.${options.layer}.attention.probs`);
  const context = transpose(matMul(shares, value), [0, 2, 1, 3]);
  return reshape(context, [-1, hiddenSize]);
}

function fusedAttention({ config }: Roberta, at: string, { batch, length, project }: LayerOptions): Value {
  const { hiddenSize, heads } = config;
  const part = (name: string) => reshape(project(`${at}.${name}`), [batch, length, hiddenSize]);
  const context = multiHeadAttention(part("query"), part("key"), part("value"), { numHeads: heads });
  return reshape(context, [-1, hiddenSize]);
}

function oneTokenAttention(
  model: Roberta,
  asked: Value,
  hidden: Value,
  at: string,
  { batch, length }: LayerOptions,
): Value {
  const { config, weights } = model;
  const { hiddenSize, heads } = config;
  const context = absorbedAttention({
    query: dense(model, asked, `${at}.query`),
    states: reshape(hidden, [batch, length, hiddenSize]),
    keyWeight: weights.get(`${at}.key.weight`),
    valueWeight: weights.get(`${at}.value.weight`),
    heads,
    scale: 1 / Math.sqrt(hiddenSize / heads),
  });
  return add(context, weights.get(`${at}.value.bias`));
}
