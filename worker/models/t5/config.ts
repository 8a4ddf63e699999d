import { z } from "zod";
import {
  type CommonConfig,
  checkPadId,
  commonKeys,
  deviation,
  labelNames,
  must,
  readKeys,
  size,
} from "../config-json.ts";
import { ModelError } from "../errors.ts";

/** Activations of the feed-forward layers, by the names that configurations use: "gelu_new" is the tanh formula. */
export type T5Activation = "relu" | "gelu" | "gelu_new";

/** What a graph of a T5 encoder-decoder is built from. */
export interface T5Config extends CommonConfig {
  readonly modelType: "t5";
  /** Layers of the decoder; `layers` are the encoder's. */
  readonly decoderLayers: number;
  /** Size of a head; heads × head size need not be the hidden size. */
  readonly headSize: number;
  readonly intermediateSize: number;
  readonly activation: T5Activation;
  /** The feed-forward layer multiplies its activation with a second projection. */
  readonly gated: boolean;
  readonly layerNormEps: number;
  readonly relativeBuckets: number;
  /** Distance from which on all tokens share a bucket. */
  readonly relativeMaxDistance: number;
  /** Id that ends every row: the decoder's state there stands for the row. */
  readonly endId: number;
  /** Id that the decoder reads before the first token. */
  readonly startId: number;
  /** Whether the output projection, which is not used here, is the table of word vectors. */
  readonly tiedOutput: boolean;
  /** Multiplies the deviations of weights before training. */
  readonly initializerFactor: number;
}

const id = z.number().int().min(0);
const ACTIVATIONS = ["relu", "gelu", "gelu_new"] as const;

/** Defaults are those of Hugging Face's `T5Config`; sizes have none, since a guess would only fail later. */
const T5Json = z.object({
  ...commonKeys,
  model_type: z.literal("t5"),
  d_model: size(65_536),
  d_kv: size(65_536),
  d_ff: size(1_048_576),
  num_layers: size(512),
  num_decoder_layers: size(512).nullish(),
  num_heads: size(1_024),
  relative_attention_num_buckets: size(65_536).default(32),
  relative_attention_max_distance: size(1_048_576).default(128),
  layer_norm_epsilon: z.number().positive().max(1).default(1e-6),
  feed_forward_proj: z.enum(["relu", "gelu", "gated-gelu", "gated-relu"]).default("relu"),
  dense_act_fn: z.enum(ACTIVATIONS).optional(),
  is_gated_act: z.boolean().optional(),
  pad_token_id: id.default(0),
  eos_token_id: id.default(1),
  decoder_start_token_id: id.nullish(),
  initializer_factor: deviation.default(1),
  tie_word_embeddings: z.boolean().default(true),
  is_decoder: must(z.literal(false)),
  is_encoder_decoder: must(z.literal(true)),
  add_cross_attention: must(z.literal(false)),
});

/** Keys without a meaning here: dropout is an option of training, and relative positions have no limit. */
const UNUSED_KEYS = ["dropout_rate", "n_positions"];

export function parseT5Config(object: Record<string, unknown>, file: string): T5Config {
  const json = readKeys(T5Json, object, file, UNUSED_KEYS);
  const { pad_token_id: padId, vocab_size: vocabSize } = json;
  checkPadId(padId, vocabSize, file);
  const startId = json.decoder_start_token_id ?? padId;
  for (const [key, value] of [
    ["eos_token_id", json.eos_token_id],
    ["decoder_start_token_id", startId],
  ] as const) {
    if (value >= vocabSize)
      throw new ModelError(file, key, `${value} is no id below vocab_size ${vocabSize}`);
  }
  const buckets = json.relative_attention_num_buckets;
  if (buckets < 4 || buckets % 4 !== 0) {
    throw new ModelError(file, "relative_attention_num_buckets", `${buckets} is no multiple of 4`);
  }
  if (json.relative_attention_max_distance <= buckets / 2) {
    const found = `${json.relative_attention_max_distance} is not above half of the ${buckets} buckets`;
    throw new ModelError(file, "relative_attention_max_distance", found);
  }
  return {
    modelType: "t5",
    hiddenSize: json.d_model,
    layers: json.num_layers,
    decoderLayers: json.num_decoder_layers ?? json.num_layers,
    heads: json.num_heads,
    headSize: json.d_kv,
    intermediateSize: json.d_ff,
    activation: json.dense_act_fn ?? activationOf(json.feed_forward_proj),
    gated: json.is_gated_act ?? json.feed_forward_proj.startsWith("gated-"),
    layerNormEps: json.layer_norm_epsilon,
    relativeBuckets: buckets,
    relativeMaxDistance: json.relative_attention_max_distance,
    vocabSize,
    padId,
    endId: json.eos_token_id,
    startId,
    tiedOutput: json.tie_word_embeddings,
    initializerFactor: json.initializer_factor,
    labels: labelNames(json, file),
  };
}

/** As Hugging Face reads it: "gated-gelu" has always meant the tanh formula. */
function activationOf(proj: z.infer<typeof T5Json>["feed_forward_proj"]): T5Activation {
  if (proj === "gated-gelu") return "gelu_new";
  return proj === "gelu" ? "gelu" : "relu";
}
