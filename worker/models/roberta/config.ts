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

/** Activations of the feed-forward layers, by the names that configurations use. */
export type Activation = "gelu";

/** What a RoBERTa graph is built from. */
export interface RobertaConfig extends CommonConfig {
  readonly modelType: "roberta";
  readonly intermediateSize: number;
  readonly activation: Activation;
  readonly layerNormEps: number;
  /** Rows of the position table; the first `padId + 1` of them are never a real token's. */
  readonly maxPositions: number;
  readonly typeVocabSize: number;
  /** Deviation of weights before training. */
  readonly initializerRange: number;
}

/** Defaults are those of Hugging Face's `RobertaConfig`; sizes have none, since a guess would only fail later. */
const RobertaJson = z.object({
  ...commonKeys,
  model_type: z.literal("roberta"),
  hidden_size: size(65_536),
  num_hidden_layers: size(512),
  num_attention_heads: size(1_024),
  intermediate_size: size(1_048_576),
  hidden_act: z.enum(["gelu"]).default("gelu"),
  layer_norm_eps: z.number().positive().max(1).default(1e-12),
  max_position_embeddings: size(1_048_576),
  type_vocab_size: size(65_536),
  pad_token_id: z.number().int().min(0).default(1),
  initializer_range: deviation.default(0.02),
  position_embedding_type: z.literal("absolute").default("absolute"),
  is_decoder: must(z.literal(false)),
  is_encoder_decoder: must(z.literal(false)),
  add_cross_attention: must(z.literal(false)),
});

export function parseRobertaConfig(object: Record<string, unknown>, file: string): RobertaConfig {
  const json = readKeys(RobertaJson, object, file);
  const { hidden_size: hiddenSize, num_attention_heads: heads, pad_token_id: padId } = json;
  checkHeads(heads, hiddenSize, ["num_attention_heads", "hidden_size"], file);
  checkPadId(padId, json.vocab_size, file);
  if (json.max_position_embeddings <= padId + 1) {
    const found = `${json.max_position_embeddings} leaves no position after pad_token_id ${padId}`;
    throw new ModelError(file, "max_position_embeddings", found);
  }
  return {
    modelType: "roberta",
    hiddenSize,
    layers: json.num_hidden_layers,
    heads,
    intermediateSize: json.intermediate_size,
    activation: json.hidden_act,
    layerNormEps: json.layer_norm_eps,
    vocabSize: json.vocab_size,
    maxPositions: json.max_position_embeddings,
    typeVocabSize: json.type_vocab_size,
    initializerRange: json.initializer_range,
    padId,
    labels: labelNames(json, file),
  };
}

/** Positions are counted from `padId + 1`. */
export const longestRobertaRow = ({ maxPositions, padId }: RobertaConfig): LengthLimit => ({
  tokens: maxPositions - padId - 1,
  because: `max_position_embeddings ${maxPositions}`,
});
