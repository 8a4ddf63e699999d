import { denseShapes, normShapes, type Shapes } from "../layers.ts";
import type { RobertaConfig } from "./config.ts";

/** Embeddings and layers, in the order of Hugging Face's `RobertaModel`. */
export function* encoderShapes(config: RobertaConfig, prefix: string): Shapes {
  const { hiddenSize: h, intermediateSize: f } = config;
  yield [`${prefix}embeddings.word_embeddings.weight`, [config.vocabSize, h]];
  yield [`${prefix}embeddings.position_embeddings.weight`, [config.maxPositions, h]];
  yield [`${prefix}embeddings.token_type_embeddings.weight`, [config.typeVocabSize, h]];
  yield* normShapes(`${prefix}embeddings.LayerNorm`, h);
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `${prefix}encoder.layer.${layer}`;
    for (const part of ["query", "key", "value"]) yield* denseShapes(`${at}.attention.self.${part}`, h, h);
    yield* denseShapes(`${at}.attention.output.dense`, h, h);
    yield* normShapes(`${at}.attention.output.LayerNorm`, h);
    yield* denseShapes(`${at}.intermediate.dense`, f, h);
    yield* denseShapes(`${at}.output.dense`, h, f);
    yield* normShapes(`${at}.output.LayerNorm`, h);
  }
}

/** The pooler, which no published head reads. */
export function* poolerShapes({ hiddenSize: h }: RobertaConfig, prefix: string): Shapes {
  yield* denseShapes(`${prefix}pooler.dense`, h, h);
}

/** The pooler, and index buffers. */
export function* unusedShapes(config: RobertaConfig, prefix: string): Shapes {
  yield* poolerShapes(config, prefix);
  yield [`${prefix}embeddings.position_ids`, [1, config.maxPositions]];
  yield [`${prefix}embeddings.token_type_ids`, [1, config.maxPositions]];
}
