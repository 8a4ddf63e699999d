import { z } from "zod";
import type { LengthLimit } from "../architecture.ts";
import {
  type CommonConfig,
  checkHeads,
  checkPadId,
  commonKeys,
  deviation,
  labelNames,
  must,
  readKeys,
  size,
} from "../config-json.ts";
import { ModelError } from "../errors.ts";

/** What is computed for an activation, by the names that configurations use. */
const activations = {
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_pytorch_tanh: "gelu tanh",
  gelu_new: "gelu tanh",
  gelu_fast: "gelu tanh",
  relu: "relu",
} as const;

type ActivationName = keyof typeof activations;
export type Activation = (typeof activations)[ActivationName];

/** What a GPT-BigCode graph is built from. */
export interface GptBigCodeConfig extends CommonConfig {
  readonly modelType: "gpt_bigcode";
  readonly intermediateSize: number;
  readonly activation: Activation;
  readonly layerNormEps: number;
  /** Rows of the position table. */
  readonly maxPositions: number;
  /** One key and value for all heads, or one for each. */
  readonly multiQuery: boolean;
  /** What attention scores are multiplied with. */
  readonly scoreScale: number;
  /** Deviation of weights before training. */
  readonly initializerRange: number;
}

const id = z.number().int().min(0);

/** Defaults are those of Hugging Face's `GPTBigCodeConfig`; sizes have none, since a guess would only fail later. */
const GptBigCodeJson = z.object({
  ...commonKeys,
  model_type: z.literal("gpt_bigcode"),
  n_embd: size(65_536),
  n_layer: size(512),
  n_head: size(1_024),
  n_inner: size(1_048_576).nullish(),
  n_positions: size(1_048_576),
  activation_function: z
    .enum(Object.keys(activations) as [ActivationName, ...ActivationName[]])
    .default("gelu_pytorch_tanh"),
  layer_norm_epsilon: z.number().positive().max(1).default(1e-5),
  multi_query: z.boolean().default(true),
  num_key_value_heads: size(1_024).optional(),
  scale_attn_weights: z.boolean().default(true),
  initializer_range: deviation.default(0.02),
  // In which type a half-precision model takes its softmax, and that the scores are scaled down for it and up again:
  // elibad computes in float32 whatever type the weights are stored in, so neither changes anything.
  attention_softmax_in_fp32: must(z.boolean()),
  scale_attention_softmax_in_fp32: must(z.boolean()),
  pad_token_id: id.nullish(),
  eos_token_id: id.nullish(),
  add_cross_attention: must(z.literal(false)),
  is_encoder_decoder: must(z.literal(false)),
});

/** Keys of other uses of the network: dropout in training, summaries, the publisher's inference server. */
const UNUSED = [
  "attn_pdrop",
  "embd_pdrop",
  "resid_pdrop",
  "inference_runner",
  "is_decoder",
  "max_batch_size",
  "max_sequence_length",
  "pad_key_length",
  "pre_allocate_kv_cache",
  "summary_activation",
  "summary_first_dropout",
  "summary_proj_to_labels",
  "summary_type",
  "summary_use_proj",
  "validate_runner_input",
];

export function parseGptBigCodeConfig(object: Record<string, unknown>, file: string): GptBigCodeConfig {
  const json = readKeys(GptBigCodeJson, object, file, UNUSED);
  const { n_embd: hiddenSize, n_head: heads, multi_query: multiQuery } = json;
  checkHeads(heads, hiddenSize, ["n_head", "n_embd"], file);
  // The published scripts set a missing padding id to the end id, as StarCoder's own configuration has none.
  const padId = json.pad_token_id ?? json.eos_token_id;
  if (padId === undefined || padId === null) {
    throw new ModelError(
      file,
      "pad_token_id",
      "missing, and so is eos_token_id: the model answers at the token before padding",
    );
  }
  checkPadId(padId, json.vocab_size, file);
  const keyHeads = multiQuery ? 1 : heads;
  if ((json.num_key_value_heads ?? keyHeads) !== keyHeads) {
    throw new ModelError(
      file,
      "num_key_value_heads",
      `${json.num_key_value_heads}, but multi_query ${multiQuery} makes it ${keyHeads}`,
    );
  }
  return {
    modelType: "gpt_bigcode",
    hiddenSize,
    layers: json.n_layer,
    heads,
    intermediateSize: json.n_inner ?? 4 * hiddenSize,
    activation: activations[json.activation_function],
    layerNormEps: json.layer_norm_epsilon,
    vocabSize: json.vocab_size,
    maxPositions: json.n_positions,
    multiQuery,
    scoreScale: json.scale_attn_weights ? 1 / Math.sqrt(hiddenSize / heads) : 1,
    initializerRange: json.initializer_range,
    padId,
    labels: labelNames(json, file),
  };
}

export const longestGptBigCodeRow = ({ maxPositions }: GptBigCodeConfig): LengthLimit => ({
  tokens: maxPositions,
  because: `n_positions ${maxPositions}`,
});
