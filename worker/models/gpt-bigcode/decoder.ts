import {
  add,
  cast,
  gelu,
  greater,
  mul,
  range,
  relu,
  reshape,
  slice,
  unsqueeze,
  type Value,
} from "../../graph/index.ts";
import { noDropout } from "../dropout.ts";
import { dense, layerNorm } from "../layers.ts";
import type { ModelLayout } from "../layout.ts";
import { LOWEST_FLOAT32 } from "../padded.ts";
import {
  askedTokens,
  attention,
  type DecoderOptions,
  type GptBigCode,
  type LayerOptions,
} from "./attention.ts";
import type { Activation } from "./config.ts";

/** Names of the two tables that a token's vector is looked up in. */
export const embeddingTables = ({ prefix }: Pick<ModelLayout, "prefix">) => ({
  word: `${prefix}transformer.wte.weight`,
  position: `${prefix}transformer.wpe.weight`,
});

/** Word and position vectors added up: [B, T, hidden], or [D, hidden] of distinct tokens. Without `positions` they are 0, 1, 2, … */
export function embed({ layout, weights }: GptBigCode, words: Value, positions?: Value): Value {
  const { position } = embeddingTables(layout);
  if (positions !== undefined) return add(words, weights.lookup(position, positions));
  return add(words, slice(weights.get(position), 0, 0, words.shape[1]!));
}

/**
 * The head's input: the final state of each row's last token, [B, hidden], from embeddings [B, T, hidden], or those of distinct tokens. The last layer is computed for
 * that token only; its keys and values need every token. No token sees a later one, so what stands behind the last is never read.
 */
export function rowVectors(model: GptBigCode, embedded: Value, options: DecoderOptions): Value {
  const { config, layout, graph } = model;
  const { dropout = noDropout, distinct } = options;
  const [batch, length] = (distinct?.places ?? embedded).shape as [string, string];
  const causal = graph.scope("causal", () => causalBias(model, length));
  let hidden = dropout(reshape(embedded, [-1, config.hiddenSize]), "embeddings");
  for (let layer = 0; layer < config.layers; layer++) {
    const queries = layer === config.layers - 1 ? "last" : "all";
    const bias = queries === "all" ? causal : options.padding?.keyBias;
    hidden = graph.scope(`layer.${layer}`, () =>
      decoderLayer(model, hidden, { ...options, layer, batch, length, queries, bias }),
    );
  }
  return layerNorm(model, hidden, `${layout.prefix}transformer.ln_f`);
}

/** Added to attention scores: the lowest float where the key stands behind the query, [T, 1, T], or [T, T] where heads come first. */
function causalBias({ graph, config }: GptBigCode, length: string): Value {
  const columns = range(graph, length);
  const later = greater(unsqueeze(columns, [0]), unsqueeze(columns, [1]));
  const bias = mul(cast(later, "float32"), LOWEST_FLOAT32);
  return config.multiQuery ? unsqueeze(bias, [1]) : bias;
}

/** Hidden states of all or of distinct tokens through one layer: as many again, or [B, hidden] where only the last token is asked for. */
function decoderLayer(model: GptBigCode, hidden: Value, options: LayerOptions): Value {
  const { layer, dropout = noDropout } = options;
  const at = `${model.layout.prefix}transformer.h.${layer}`;
  const normed = layerNorm(model, hidden, `${at}.ln_1`);
  const context = attention(model, normed, `${at}.attn.c_attn`, options);
  const projected = dense(model, context, `${at}.attn.c_proj`);
  const attended = add(
    dropout(projected, `layer.${layer}.attention.output`),
    askedTokens(model, hidden, options),
  );

  const inner = dense(model, layerNorm(model, attended, `${at}.ln_2`), `${at}.mlp.c_fc`);
  const outer = dense(model, activate(inner, model.config.activation), `${at}.mlp.c_proj`);
  return add(dropout(outer, `layer.${layer}.output`), attended);
}

function activate(x: Value, activation: Activation): Value {
  if (activation === "relu") return relu(x);
  return gelu(x, activation === "gelu tanh" ? "tanh" : "none");
}
