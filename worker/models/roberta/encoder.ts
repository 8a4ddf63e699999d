import {
  add,
  cast,
  div,
  full,
  gelu,
  lengthOf,
  matMul,
  reshape,
  slice,
  type Value,
} from "../../graph/index.ts";
import { inRows } from "../distinct.ts";
import { noDropout } from "../dropout.ts";
import { dense, layerNorm } from "../layers.ts";
import type { ModelLayout } from "../layout.ts";
import {
  attention,
  type EncoderOptions,
  type LayerOptions,
  projectAll,
  projectDistinct,
  type Roberta,
} from "./attention.ts";

/** Names of the three tables that a token's vector is looked up in. */
export const embeddingTables = ({ prefix }: Pick<ModelLayout, "prefix">) => ({
  word: `${prefix}embeddings.word_embeddings.weight`,
  position: `${prefix}embeddings.position_embeddings.weight`,
  type: `${prefix}embeddings.token_type_embeddings.weight`,
});

/**
 * Word, token type and position vectors added up in the reference's order: [B, T, hidden], or [D, hidden] where tokens are given once each.
 * Without `positions` the rows have no padding and their positions are `padId + 1, padId + 2, …`; the token type is always 0.
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
 * The vector of each row, [B, hidden], from embeddings [B, T, hidden], or those of distinct tokens. For a head it is the last layer's hidden state of the first token,
 * and the last layer is computed for that token only; its keys and values need every token. For code search it is the mean over all tokens.
 */
export function rowVectors(model: Roberta, embedded: Value, options: EncoderOptions): Value {
  const { config, layout } = model;
  const { dropout = noDropout, distinct } = options;
  const [batch, length] = (distinct?.places ?? embedded).shape as [string, string];
  const flat = reshape(embedded, [-1, config.hiddenSize]);
  const normed = layerNorm(model, flat, `${layout.prefix}embeddings.LayerNorm`);
  let hidden = dropout(inRows(normed, distinct), "embeddings");
  for (let layer = 0; layer < config.layers; layer++) {
    const queries = layer === config.layers - 1 && options.task !== "code_search" ? "first" : "all";
    hidden = hidden.graph.scope(`layer.${layer}`, () =>
      encoderLayer(model, hidden, {
        ...options,
        ...{ layer, batch, length, queries },
        project:
          layer === 0 && distinct ? projectDistinct(model, normed, distinct) : projectAll(model, hidden),
      }),
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

/** Hidden states [B·T, hidden] through one layer: [B·T, hidden], or [B, hidden] where only the first token is asked for. */
function encoderLayer(model: Roberta, hidden: Value, options: LayerOptions): Value {
  const { layer, dropout = noDropout } = options;
  const at = `${model.layout.prefix}encoder.layer.${layer}`;
  const asked = options.queries === "first" ? firstTokens(model, hidden, options) : hidden;

  const context = attention(model, asked, hidden, `${at}.attention.self`, options);
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
