import {
  add,
  cast,
  div,
  full,
  gelu,
  lengthOf,
  matMul,
  mul,
  multiHeadAttention,
  reshape,
  slice,
  softmax,
  transpose,
  type Value,
} from "../../graph/index.ts";
import { absorbedAttention } from "../absorbed.ts";
import type { ModelInGraph, VectorOptions } from "../architecture.ts";
import { noDropout } from "../dropout.ts";
import { dense, layerNorm } from "../layers.ts";
import type { ModelLayout } from "../layout.ts";
import type { RobertaConfig } from "./config.ts";

/**
 * RoBERTa (`modeling_roberta.py` of Hugging Face transformers) as a graph. Hidden states are kept flat,
 * [B·T, hidden], so that every dense layer is one matrix product on the weight as torch stores it, [out, in].
 */
type Roberta = ModelInGraph<RobertaConfig>;

export interface EncoderOptions extends VectorOptions {
  /** Added to the attention scores, [B, 1, 1, T]: 0 for tokens, the lowest float for padding. Absent: no padding. */
  readonly keyBias?: Value;
  /** Share of each token in the mean over tokens, [B, 1, T]: 0 for padding. Absent: all alike. */
  readonly tokenShares?: Value;
}

/** Names of the three tables that a token's vector is looked up in. */
export const embeddingTables = ({ prefix }: Pick<ModelLayout, "prefix">) => ({
  word: `${prefix}embeddings.word_embeddings.weight`,
  position: `${prefix}embeddings.position_embeddings.weight`,
  type: `${prefix}embeddings.token_type_embeddings.weight`,
});

/**
 * Word, token type and position vectors added up in the reference's order: [B, T, hidden]. Without `positions` [B, T] the
 * rows have no padding and their positions are `padId + 1, padId + 2, …`; the token type is always 0.
 */
export function embed(model: Roberta, words: Value, positions?: Value): Value {
  const { config, layout, weights } = model;
  const first = slice(weights.get(embeddingTables(layout).type), 0, 0, 1);
  const typed = add(words, reshape(first, [config.hiddenSize]));
  return add(typed, positionRows(model, words, positions));
}

function positionRows({ config, layout, weights }: Roberta, words: Value, positions?: Value): Value {
  const { position } = embeddingTables(layout);
  if (positions !== undefined) return weights.lookup(position, positions);
  const start = config.padId + 1;
  return slice(weights.get(position), 0, start, `${words.shape[1]}+${start}`);
}

/**
 * The vector of each row, [B, hidden], from embeddings [B, T, hidden]. For a head it is the last layer's hidden state of the first token,
 * and the last layer is computed for that token only; its keys and values need every token. For code search it is the mean over all tokens.
 */
export function rowVectors(model: Roberta, embedded: Value, options: EncoderOptions): Value {
  const { config, layout } = model;
  const { dropout = noDropout } = options;
  const [batch, length] = embedded.shape as [string, string];
  const flat = reshape(embedded, [-1, config.hiddenSize]);
  const normed = layerNorm(model, flat, `${layout.prefix}embeddings.LayerNorm`);
  let hidden = dropout(normed, "embeddings");
  for (let layer = 0; layer < config.layers; layer++) {
    const queries = layer === config.layers - 1 && options.task !== "code_search" ? "first" : "all";
    hidden = hidden.graph.scope(`layer.${layer}`, () =>
      encoderLayer(model, hidden, { layer, batch, length, queries, ...options }),
    );
  }
  if (options.task !== "code_search") return hidden;
  const byRow = reshape(hidden, [batch, length, config.hiddenSize]);
  return reshape(meanOfTokens(byRow, options.tokenShares), [-1, config.hiddenSize]);
}

/** Mean over axis 1 as a product, since onnxruntime reduces one row by other sums than several rows: [B, 1, hidden]. */
function meanOfTokens(states: Value, tokenShares?: Value): Value {
  if (tokenShares !== undefined) return matMul(tokenShares, states);
  const ones = full(states.graph, [1, 1, states.shape[1]!], 1, "float32");
  return div(matMul(ones, states), cast(lengthOf(states, 1), "float32"));
}

interface LayerOptions extends EncoderOptions {
  readonly layer: number;
  readonly batch: string;
  readonly length: string;
  /** Tokens that the layer's output is computed for. */
  readonly queries: "all" | "first";
}

/** Hidden states [B·T, hidden] through one layer: [B·T, hidden], or [B, hidden] where only the first token is asked for. */
function encoderLayer(model: Roberta, hidden: Value, options: LayerOptions): Value {
  const { layer, dropout = noDropout } = options;
  const at = `${model.layout.prefix}encoder.layer.${layer}`;
  const asked = options.queries === "first" ? firstTokens(model, hidden, options) : hidden;

  const context = attentionOf(model, asked, hidden, at, options);
  const projected = dense(model, context, `${at}.attention.output.dense`);
  const attended = layerNorm(
    model,
    add(dropout(projected, `layer.${layer}.attention.output`), asked),
    `${at}.attention.output.LayerNorm`,
  );

  const inner = gelu(dense(model, attended, `${at}.intermediate.dense`));
  const outer = dense(model, inner, `${at}.output.dense`);
  return layerNorm(model, add(dropout(outer, `layer.${layer}.output`), attended), `${at}.output.LayerNorm`);
}

function firstTokens({ config }: Roberta, hidden: Value, { batch, length }: LayerOptions): Value {
  const rows = reshape(hidden, [batch, length, config.hiddenSize]);
  return reshape(slice(rows, 1, 0, 1), [-1, config.hiddenSize]);
}

/** Multi-head attention of the asked tokens over all tokens; the result has the shape of `asked`. */
function attentionOf(model: Roberta, asked: Value, hidden: Value, at: string, options: LayerOptions): Value {
  if (model.form === "primitive") return attention(model, asked, hidden, at, options);
  return options.queries === "all"
    ? fusedAttention(model, hidden, at, options)
    : absorbed(model, asked, hidden, at, options);
}

function fusedAttention(model: Roberta, hidden: Value, at: string, { batch, length }: LayerOptions): Value {
  const { hiddenSize, heads } = model.config;
  const part = (name: string) =>
    reshape(dense(model, hidden, `${at}.attention.self.${name}`), [batch, length, hiddenSize]);
  const context = multiHeadAttention(part("query"), part("key"), part("value"), { numHeads: heads });
  return reshape(context, [-1, hiddenSize]);
}

function absorbed(
  model: Roberta,
  asked: Value,
  hidden: Value,
  at: string,
  { batch, length }: LayerOptions,
): Value {
  const { config, weights } = model;
  const { hiddenSize, heads } = config;
  const self = `${at}.attention.self`;
  const context = absorbedAttention({
    query: dense(model, asked, `${self}.query`),
    states: reshape(hidden, [batch, length, hiddenSize]),
    keyWeight: weights.get(`${self}.key.weight`),
    valueWeight: weights.get(`${self}.value.weight`),
    heads,
    scale: 1 / Math.sqrt(hiddenSize / heads),
  });
  return add(context, weights.get(`${self}.value.bias`));
}

function attention(model: Roberta, asked: Value, hidden: Value, at: string, options: LayerOptions): Value {
  const { hiddenSize, heads } = model.config;
  const { batch, length, keyBias, dropout = noDropout } = options;
  const headSize = hiddenSize / heads;
  const queries = options.queries === "first" ? 1 : length;

  const split = (x: Value, tokens: string | 1) => reshape(x, [batch, tokens, heads, headSize]);
  const part = (x: Value, name: string) => dense(model, x, `${at}.attention.self.${name}`);
  // Scaling the query instead of the scores touches fewer elements.
  const scaled = mul(part(asked, "query"), 1 / Math.sqrt(headSize));
  const query = transpose(split(scaled, queries), [0, 2, 1, 3]);
  const key = transpose(split(part(hidden, "key"), length), [0, 2, 3, 1]);
  const value = transpose(split(part(hidden, "value"), length), [0, 2, 1, 3]);

  const products = matMul(query, key);
  const scores = keyBias === undefined ? products : add(products, keyBias);
  const shares = dropout(softmax(scores), `layer.${options.layer}.attention.probs`);
  const context = transpose(matMul(shares, value), [0, 2, 1, 3]);
  return reshape(context, [-1, hiddenSize]);
}
