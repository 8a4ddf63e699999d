import type { MicroBatch, SampleSet, SegmentStep, VectorLoss } from "../../proto/operations.ts";
import type { Example } from "./example.ts";

/** One optimiser step, before its batch is split. */
export type PlannedStep = { readonly learningRate: number } & (
  | { readonly kind: "rows"; readonly batch: readonly Example[] }
  /** Rows of a batch that meet in the loss (code search), in the order in which it counts them. */
  | { readonly kind: "vectors"; readonly rows: readonly number[]; readonly loss: VectorLoss }
);

export interface Splitting {
  /** Rows of one micro-batch: part of the plan, since the order of the sum follows from it. */
  readonly microBatch: number;
  /** Dropout probability on hidden states; 0 trains in evaluation mode. */
  readonly dropout: number;
  readonly seed: number;
}

/**
 * A step's batch as micro-batches: rows of similar length together, so that little is padded; ties keep the batch's order.
 *
 * @param index of the step in its training run, from 0: dropout masks are drawn anew for each
 */
export function split(
  step: PlannedStep,
  index: number,
  set: SampleSet,
  { microBatch, dropout, seed }: Splitting,
): SegmentStep {
  const { learningRate } = step;
  if (step.kind === "vectors") {
    // The slopes are of vectors without dropout; another mask in the second pass would give the gradient of another loss.
    if (dropout > 0) throw new Error("no dropout in the training of code search");
    const placed = step.rows.map((row, place) => ({ row, place }));
    const microBatches = chunksByLength(placed, set, microBatch).map((chunk) => ({
      rows: chunk.map(({ row }) => row),
      places: chunk.map(({ place }) => place),
    }));
    return { kind: "vectors", learningRate, microBatches, loss: step.loss };
  }
  const microBatches = chunksByLength(step.batch, set, microBatch).map(
    (chunk, k): MicroBatch => ({
      rows: chunk.map(({ row }) => row),
      rowWeights: chunk.map(({ weight }) => weight),
      objective: objectiveOf(chunk),
      dropoutSeed: (seed + index * 1_000_003 + k * 7_919) % 2 ** 31,
    }),
  );
  return { kind: "rows", learningRate, microBatches };
}

function chunksByLength<E extends { readonly row: number }>(
  batch: readonly E[],
  { rows, secondRows }: SampleSet,
  size: number,
): E[][] {
  const length = ({ row }: E): number => (rows[row]?.length ?? 0) + (secondRows?.[row]?.length ?? 0);
  const sorted = [...batch].sort((a, b) => length(a) - length(b));
  const chunks: E[][] = [];
  for (let start = 0; start < sorted.length; start += size) chunks.push(sorted.slice(start, start + size));
  return chunks;
}

/** A batch mixes no kinds of objectives. */
function objectiveOf(chunk: readonly Example[]): MicroBatch["objective"] {
  const labels: number[] = [];
  const logits: (readonly number[])[] = [];
  for (const { objective } of chunk) {
    if (objective.kind === "label") labels.push(objective.label);
    else logits.push(objective.logits);
  }
  if (labels.length > 0 && logits.length > 0)
    throw new Error("a batch mixes labels and logits as objectives");
  return labels.length > 0 ? { kind: "labels", labels } : { kind: "logits", logits };
}
