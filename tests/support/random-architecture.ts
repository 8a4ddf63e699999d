import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { initialWeights } from "../../coordinator/training/initial.ts";
import type { Task } from "../../proto/operations.ts";
import type { Dtype } from "../../worker/checkpoint/tensor-entry.ts";
import { writeSafetensors } from "../../worker/checkpoint/write-safetensors.ts";
import { parseConfig } from "../../worker/models/config.ts";
import { scratchTensors } from "../../worker/models/layout.ts";

/** A small model of any architecture and size: what its files are made from. */
export interface DrawnModel {
  /** `config.json` */
  readonly json: Readonly<Record<string, unknown>>;
  readonly task: Task;
  readonly dtype: Dtype;
  readonly seed: number;
}

const size = (min: number, max: number) => fc.integer({ min, max });

/** Ids of every drawn vocabulary: from `FIRST_WORD` on they are ordinary words. */
export const DRAWN_VOCABULARY = 24;
export const FIRST_WORD = 4;

/** What an architecture may be like beside its sizes: each of it is drawn for. */
export const drawnKinds = {
  roberta: [{}],
  t5: [
    // relu has kinks, beside which differences say nothing; the golden cells have it.
    { feed_forward_proj: "gelu", tie_word_embeddings: true },
    { feed_forward_proj: "gated-gelu", tie_word_embeddings: false },
    { feed_forward_proj: "gelu", tie_word_embeddings: false },
    { feed_forward_proj: "gated-gelu", tie_word_embeddings: true },
  ],
  gpt_bigcode: [{ multi_query: true }, { multi_query: false }],
} as const;

/** Configurations by architecture, without their kind; sizes are multiples where the architecture wants them to be. */
export const drawnConfigs = {
  roberta: fc
    .record({
      layers: size(1, 3),
      heads: size(1, 3),
      // LayerNorm of two numbers is ±1 whatever they are.
      headSize: size(4, 6),
      inner: size(3, 12),
      types: size(1, 3),
    })
    .map(({ layers, heads, headSize, inner, types }) => ({
      model_type: "roberta",
      vocab_size: DRAWN_VOCABULARY,
      hidden_size: heads * headSize,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      intermediate_size: inner,
      max_position_embeddings: 20,
      type_vocab_size: types,
      layer_norm_eps: 1e-5,
      pad_token_id: 1,
      initializer_range: 0.5,
    })),
  t5: fc
    .record({
      layers: size(1, 3),
      decoderLayers: size(1, 3),
      heads: size(1, 3),
      headSize: size(2, 4),
      hidden: size(6, 12),
      inner: size(3, 12),
      buckets: fc.constantFrom(4, 8, 32),
    })
    .map(({ layers, decoderLayers, heads, headSize, hidden, inner, buckets }) => ({
      model_type: "t5",
      vocab_size: DRAWN_VOCABULARY,
      d_model: hidden,
      d_kv: headSize,
      d_ff: inner,
      num_layers: layers,
      num_decoder_layers: decoderLayers,
      num_heads: heads,
      relative_attention_num_buckets: buckets,
      relative_attention_max_distance: 20,
      eos_token_id: 2,
      decoder_start_token_id: 0,
    })),
  gpt_bigcode: fc
    .record({
      layers: size(1, 3),
      heads: size(1, 3),
      headSize: size(4, 6),
      inner: fc.option(size(3, 12)),
      activation: fc.constantFrom("gelu", "gelu_pytorch_tanh"),
      scaled: fc.boolean(),
    })
    .map(({ layers, heads, headSize, inner, activation, scaled }) => ({
      model_type: "gpt_bigcode",
      vocab_size: DRAWN_VOCABULARY,
      n_embd: heads * headSize,
      n_layer: layers,
      n_head: heads,
      n_inner: inner,
      n_positions: 20,
      activation_function: activation,
      scale_attn_weights: scaled,
      pad_token_id: 0,
      initializer_range: 0.5,
    })),
} as const;

/** Types that weights are stored in. */
export const drawnDtypes = ["float32", "float16", "bfloat16", "float64"] as const satisfies readonly Dtype[];

/** Writes a model's folder with random weights, none of which is 0 or 1 throughout: `config.json` and `model.safetensors`. */
export async function writeDrawnModel(
  folder: string,
  { json, task, dtype, seed }: DrawnModel,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const text = JSON.stringify(json);
  writeFileSync(join(folder, "config.json"), text);
  const tensors = scratchTensors(parseConfig(text), task).map((tensor) =>
    tensor.initial.kind === "constant"
      ? { ...tensor, initial: { kind: "normal" as const, deviation: 0.3 }, around: tensor.initial.value }
      : { ...tensor, around: 0 },
  );
  const weights = initialWeights(tensors, seed);
  const written = tensors.map(({ name, shape, around, tiedTo }) => {
    const { data } = weights.get(name)!;
    return { name, dtype, shape, data: tiedTo === undefined ? data.map((value) => value + around) : data };
  });
  await writeSafetensors(join(folder, "model.safetensors"), written);
}
