import type { Value } from "../ir.ts";

export const softmax = (x: Value, axis = -1): Value => x.graph.op("Softmax", [x], { axis })[0]!;
export const logSoftmax = (x: Value, axis = -1): Value => x.graph.op("LogSoftmax", [x], { axis })[0]!;

/** Over the axes from `axis` on: (x − mean) / √(variance + epsilon) · scale + bias. */
export const layerNormalization = (
  x: Value,
  scale: Value,
  bias: Value | null,
  { axis = -1, epsilon = 1e-5 }: { readonly axis?: number; readonly epsilon?: number } = {},
): Value =>
  x.graph.op("LayerNormalization", bias === null ? [x, scale] : [x, scale, bias], { axis, epsilon })[0]!;
