import type { GptBigCodeConfig } from "./config.ts";

type Shapes = Generator<[string, number[]]>;

function* norm(name: string, size: number): Shapes {
  yield [`${name}.weight`, [size]];
  yield [`${name}.bias`, [size]];
}

function* dense(name: string, out: number, input: number): Shapes {
  yield [`${name}.weight`, [out, input]];
  yield [`${name}.bias`, [out]];
}

/** Rows of `c_attn`: queries of all heads, then one key and one value; or, for each head, its query, key and value. */
export const attentionRows = ({ hiddenSize, heads, multiQuery }: GptBigCodeConfig): number =>
  multiQuery ? hiddenSize + (2 * hiddenSize) / heads : 3 * hiddenSize;

/** Embeddings, layers and final norm, in the order of Hugging Face's `GPTBigCodeModel`. */
export function* encoderShapes(config: GptBigCodeConfig, prefix: string): Shapes {
  const { hiddenSize: h, intermediateSize: f } = config;
  yield [`${prefix}transformer.wte.weight`, [config.vocabSize, h]];
  yield [`${prefix}transformer.wpe.weight`, [config.maxPositions, h]];
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `${prefix}transformer.h.${layer}`;
    yield* norm(`${at}.ln_1`, h);
    yield* dense(`${at}.attn.c_attn`, attentionRows(config), h);
    yield* dense(`${at}.attn.c_proj`, h, h);
    yield* norm(`${at}.ln_2`, h);
    yield* dense(`${at}.mlp.c_fc`, f, h);
    yield* dense(`${at}.mlp.c_proj`, h, f);
  }
  yield* norm(`${prefix}transformer.ln_f`, h);
}

/** The head of the language model, where a checkpoint was not saved as a classifier. */
export function* unusedShapes({ vocabSize, hiddenSize }: GptBigCodeConfig, prefix: string): Shapes {
  yield [`${prefix}lm_head.weight`, [vocabSize, hiddenSize]];
}
