import type { RobertaConfig } from "./config.ts";

type Shapes = Generator<[string, number[]]>;

function* norm(name: string, size: number): Shapes {
  yield [`${name}.weight`, [size]];
  yield [`${name}.bias`, [size]];
}

function* dense(name: string, out: number, input: number): Shapes {
  yield [`${name}.weight`, [out, input]];
  yield [`${name}.bias`, [out]];
}

/** Embeddings and layers, in the order of Hugging Face's `RobertaModel`. */
export function* encoderShapes(config: RobertaConfig, prefix: string): Shapes {
  const { hiddenSize: h, intermediateSize: f } = config;
  yield [`${prefix}embeddings.word_embeddings.weight`, [config.vocabSize, h]];
  yield [`${prefix}embeddings.position_embeddings.weight`, [config.maxPositions, h]];
  yield [`${prefix}embeddings.token_type_embeddings.weight`, [config.typeVocabSize, h]];
  yield* norm(`${prefix}embeddings.LayerNorm`, h);
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `${prefix}encoder.layer.${layer}`;
    for (const part of ["query", "key", "value"]) yield* dense(`${at}.attention.self.${part}`, h, h);
    yield* dense(`${at}.attention.output.dense`, h, h);
    yield* norm(`${at}.attention.output.LayerNorm`, h);
    yield* dense(`${at}.intermediate.dense`, f, h);
    yield* dense(`${at}.output.dense`, h, f);
    yield* norm(`${at}.output.LayerNorm`, h);
  }
}

/** The pooler, which no published head reads. */
export function* poolerShapes({ hiddenSize: h }: RobertaConfig, prefix: string): Shapes {
  yield* dense(`${prefix}pooler.dense`, h, h);
}

/** The pooler, and index buffers. */
export function* unusedShapes(config: RobertaConfig, prefix: string): Shapes {
  yield* poolerShapes(config, prefix);
  yield [`${prefix}embeddings.position_ids`, [1, config.maxPositions]];
  yield [`${prefix}embeddings.token_type_ids`, [1, config.maxPositions]];
}
