/** Dense layers and layer norms with weight and bias, as RoBERTa and GPT-BigCode have them. */
import { gemm, layerNormalization, type Value } from "../graph/index.ts";
import type { ModelInGraph } from "./architecture.ts";

/** Names of tensors and their shapes, in the order of a checkpoint. */
export type Shapes = Generator<[string, number[]]>;

export function* denseShapes(name: string, out: number, input: number): Shapes {
  yield [`${name}.weight`, [out, input]];
  yield [`${name}.bias`, [out]];
}

export function* normShapes(name: string, size: number): Shapes {
  yield [`${name}.weight`, [size]];
  yield [`${name}.bias`, [size]];
}

/** x·Wᵀ + b, W [out, in] as torch stores it. */
export const dense = ({ weights }: Pick<ModelInGraph, "weights">, x: Value, name: string): Value =>
  gemm(x, weights.get(`${name}.weight`), weights.get(`${name}.bias`), { transB: true });

export const layerNorm = (
  { config, weights }: Pick<ModelInGraph, "weights"> & { readonly config: { readonly layerNormEps: number } },
  x: Value,
  name: string,
): Value =>
  layerNormalization(x, weights.get(`${name}.weight`), weights.get(`${name}.bias`), {
    epsilon: config.layerNormEps,
  });
