import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Tensor } from "../../proto/operations.ts";
import { writeSafetensors } from "../checkpoint/write-safetensors.ts";
import { type ModelType, parseConfig } from "../models/config.ts";
import { scratchTensors } from "../models/layout.ts";

/** The self-check's models classify single rows. */
export const CHECK_TASK = "defect_detection";

/** Ids of the built-in vocabulary: 2 ends a row, words begin at 4. */
export const CHECK_VOCABULARY = 64;

const sizes = { vocab_size: CHECK_VOCABULARY };

/** Small models with every operator that programs of their architecture have, as `config.json` files. */
const configs: Readonly<Record<ModelType, Readonly<Record<string, unknown>>>> = {
  roberta: {
    ...{ ...sizes, model_type: "roberta", hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 4 },
    ...{ intermediate_size: 64, max_position_embeddings: 64, type_vocab_size: 1, layer_norm_eps: 1e-5 },
  },
  t5: {
    ...{ ...sizes, model_type: "t5", d_model: 32, d_kv: 8, d_ff: 64, num_layers: 2, num_heads: 4 },
    ...{ feed_forward_proj: "gated-gelu", eos_token_id: 2, decoder_start_token_id: 0 },
  },
  gpt_bigcode: {
    ...{ ...sizes, model_type: "gpt_bigcode", n_embd: 32, n_layer: 2, n_head: 4, n_positions: 64 },
    ...{ pad_token_id: 0 },
  },
};

export const CHECK_MODELS = Object.keys(configs) as ModelType[];

/** Writes the folder of a built-in model, whose weights are drawn from a fixed seed, and returns the weights by name. */
export async function writeCheckModel(
  modelType: ModelType,
  folder: string,
): Promise<Record<string, Tensor<Float32Array>>> {
  const text = JSON.stringify(configs[modelType]);
  const draw = uniform(12_345);
  const weights: Record<string, Tensor<Float32Array>> = {};
  const tensors = scratchTensors(parseConfig(text), CHECK_TASK).map(({ name, shape, initial, tiedTo }) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const around = initial.kind === "constant" ? initial.value : 0;
    // Wide enough that neither attention nor logits are flat, and small enough that nothing saturates.
    const spread = shape.length > 1 ? 2 / Math.sqrt(shape.at(-1)!) : 0.3;
    const data =
      tiedTo === undefined
        ? Float32Array.from({ length: count }, () => around + spread * draw())
        : weights[tiedTo]!.data;
    weights[name] = { shape, data };
    return { name, dtype: "float32" as const, shape, data };
  });
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), text);
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  return weights;
}

/** Numbers in (−1, 1) that look random, the same for the same seed (Marsaglia's xorshift). */
function uniform(seed: number): () => number {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x / 2 ** 31;
  };
}
