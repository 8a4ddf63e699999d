import type { Tensor } from "../../proto/operations.ts";
import { createRng, type Rng, seedRng } from "../search/rng.ts";

/** Standard normal draws from a counter-based generator (Box–Muller; one pair of draws gives two values). */
export function normalDraws(rng: Rng): () => number {
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log((rng.word() + 1) / 2 ** 32));
    const angle = (2 * Math.PI * rng.word()) / 2 ** 32;
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

/**
 * Random weights of a model that was never trained, as Hugging Face initialises RoBERTa: matrices normal with deviation
 * `range`, biases 0, LayerNorm weights 1, the pad row of the embeddings 0. Position embeddings start at 0, which small models trained
 * from scratch need to learn at all.
 */
export function initialWeights(
  shapes: ReadonlyMap<string, readonly number[]>,
  { range, padId, seed }: { readonly range: number; readonly padId: number; readonly seed: number },
): Map<string, Tensor<Float32Array>> {
  const normal = normalDraws(createRng(seedRng(seed)));
  const weights = new Map<string, Tensor<Float32Array>>();
  for (const [name, shape] of shapes) {
    const data = new Float32Array(shape.reduce((product, dim) => product * dim, 1));
    if (name.endsWith("LayerNorm.weight")) data.fill(1);
    else if (!name.endsWith("bias") && !name.includes("position_embeddings")) {
      for (let i = 0; i < data.length; i++) data[i] = range * normal();
    }
    if (name.includes("word_embeddings")) {
      const columns = shape[1] ?? 1;
      data.fill(0, padId * columns, (padId + 1) * columns);
    }
    weights.set(name, { shape, data });
  }
  return weights;
}
