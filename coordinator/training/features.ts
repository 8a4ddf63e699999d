import type { OperationResult } from "../../proto/operations.ts";

/** An encode result's features, row by row. */
export function featureRows({ tensors: { features } }: OperationResult): Float32Array[] {
  if (!features) throw new Error("an encode result has no features");
  const width = features.shape[1]!;
  return Array.from({ length: features.shape[0]! }, (_, k) =>
    Float32Array.from(features.data.subarray(k * width, (k + 1) * width)),
  );
}
