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

/** Values of a tensor before training: one number, or normal draws, with a row of 0 where there is one. */
export type InitialValues =
  | { readonly kind: "constant"; readonly value: number }
  | { readonly kind: "normal"; readonly deviation: number; readonly zeroRow?: number };

/** Random weights of a model that was never trained, drawn in the order of the tensors; a tied one has the array that it is tied to. */
export function initialWeights(
  tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly initial: InitialValues;
    readonly tiedTo?: string;
  }[],
  seed: number,
): Map<string, Tensor<Float32Array>> {
  const normal = normalDraws(createRng(seedRng(seed)));
  const weights = new Map<string, Tensor<Float32Array>>();
  for (const { name, shape, initial, tiedTo } of tensors) {
    if (tiedTo !== undefined) {
      weights.set(name, weights.get(tiedTo)!);
      continue;
    }
    const data = new Float32Array(shape.reduce((product, dim) => product * dim, 1));
    if (initial.kind === "constant") data.fill(initial.value);
    else {
      for (let i = 0; i < data.length; i++) data[i] = initial.deviation * normal();
      const { zeroRow } = initial;
      const columns = shape[1] ?? 1;
      if (zeroRow !== undefined) data.fill(0, zeroRow * columns, (zeroRow + 1) * columns);
    }
    weights.set(name, { shape, data });
  }
  return weights;
}
