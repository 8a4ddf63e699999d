import type { T5Config } from "./config.ts";

type Shapes = Generator<[string, number[]]>;

/** Names of the two tables with one row per bucket of distances; all layers of a stack use that of its first one. */
export const relativeTable = (prefix: string, stack: "encoder" | "decoder"): string =>
  `${prefix}${stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`;

export const wordTable = ({ prefix }: { readonly prefix: string }): string => `${prefix}shared.weight`;

/** Word vectors and both stacks, in the order of Hugging Face's `T5ForConditionalGeneration`. */
export function* encoderShapes(config: T5Config, prefix: string): Shapes {
  yield [wordTable({ prefix }), [config.vocabSize, config.hiddenSize]];
  yield* stackShapes(config, prefix, "encoder");
  yield* stackShapes(config, prefix, "decoder");
}

function* stackShapes(config: T5Config, prefix: string, stack: "encoder" | "decoder"): Shapes {
  const { hiddenSize: h, heads, headSize } = config;
  const inner = heads * headSize;
  const attention = function* (at: string, name: string): Shapes {
    for (const part of ["q", "k", "v"]) yield [`${at}.${name}.${part}.weight`, [inner, h]];
    yield [`${at}.${name}.o.weight`, [h, inner]];
  };
  const layers = stack === "encoder" ? config.layers : config.decoderLayers;
  for (let block = 0; block < layers; block++) {
    const at = `${prefix}${stack}.block.${block}.layer`;
    yield* attention(`${at}.0`, "SelfAttention");
    if (block === 0) yield [relativeTable(prefix, stack), [config.relativeBuckets, heads]];
    yield [`${at}.0.layer_norm.weight`, [h]];
    if (stack === "decoder") {
      yield* attention(`${at}.1`, "EncDecAttention");
      yield [`${at}.1.layer_norm.weight`, [h]];
    }
    yield* feedForwardShapes(config, `${at}.${stack === "decoder" ? 2 : 1}`);
  }
  yield [`${prefix}${stack}.final_layer_norm.weight`, [h]];
}

function* feedForwardShapes({ hiddenSize: h, intermediateSize: f, gated }: T5Config, at: string): Shapes {
  for (const name of gated ? ["wi_0", "wi_1"] : ["wi"]) yield [`${at}.DenseReluDense.${name}.weight`, [f, h]];
  yield [`${at}.DenseReluDense.wo.weight`, [h, f]];
  yield [`${at}.layer_norm.weight`, [h]];
}

/** Further names of the table of word vectors, and the output projection where that is tied to it. */
export function* tiedNames({ tiedOutput }: T5Config, prefix: string): Generator<[string, string]> {
  const table = wordTable({ prefix });
  yield [`${prefix}encoder.embed_tokens.weight`, table];
  yield [`${prefix}decoder.embed_tokens.weight`, table];
  if (tiedOutput) yield [`${prefix}lm_head.weight`, table];
}

/** The output projection, which no head reads. */
export function* unusedShapes({ tiedOutput, vocabSize, hiddenSize }: T5Config, prefix: string): Shapes {
  if (!tiedOutput) yield [`${prefix}lm_head.weight`, [vocabSize, hiddenSize]];
}
