import { denseShapes, normShapes, type Shapes } from "../layers.ts";
import type { GptBigCodeConfig } from "./config.ts";

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
    yield* normShapes(`${at}.ln_1`, h);
    yield* denseShapes(`${at}.attn.c_attn`, attentionRows(config), h);
    yield* denseShapes(`${at}.attn.c_proj`, h, h);
    yield* normShapes(`${at}.ln_2`, h);
    yield* denseShapes(`${at}.mlp.c_fc`, f, h);
    yield* denseShapes(`${at}.mlp.c_proj`, h, f);
  }
  yield* normShapes(`${prefix}transformer.ln_f`, h);
}

/** The head of the language model, where a checkpoint was not saved as a classifier. */
export function* unusedShapes({ vocabSize, hiddenSize }: GptBigCodeConfig, prefix: string): Shapes {
  yield [`${prefix}lm_head.weight`, [vocabSize, hiddenSize]];
}
