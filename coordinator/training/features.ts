import type { Digest, Executor, OperationResult } from "../../proto/operations.ts";
import type { TrainingSamples } from "./trainer.ts";

/** Rows of one encode operation: enough to keep a worker busy, few enough to share among several. */
const ROWS_PER_OPERATION = 8;

/** The head's input features of every row of a sample set, [features] each, computed once by the workers. */
export async function encodeFeatures(
  executor: Executor,
  checkpoint: Digest,
  { digest, set }: TrainingSamples,
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const rows = set.rows.map((_, index) => index);
  const chunks: number[][] = [];
  for (let start = 0; start < rows.length; start += ROWS_PER_OPERATION) {
    chunks.push(rows.slice(start, start + ROWS_PER_OPERATION));
  }
  const results = await executor.execute(
    chunks.map((chunk) => ({ kind: "encode", checkpoint, samples: digest, rows: chunk })),
    signal,
  );
  return results.flatMap(featureRows);
}

/** An encode result's features, row by row. */
export function featureRows({ tensors: { features } }: OperationResult): Float32Array[] {
  if (!features) throw new Error("an encode result has no features");
  const width = features.shape[1]!;
  return Array.from({ length: features.shape[0]! }, (_, k) =>
    Float32Array.from(features.data.subarray(k * width, (k + 1) * width)),
  );
}
