import type { OperationKind } from "../../proto/operations.ts";

/** An inference child with no model: measured. */
const CHILD_BYTES = 80e6;

/**
 * Memory per byte of the checkpoint. Measured with the shape of codebert-base in float32 (docs/performance.md, ARCHITECTURE.md): 0.64 GB scoring, 0.8 GB
 * for gradients, 2.3 GB in a train-step, 4.6 GB in a child that owns weights and moments. Estimates from below: what is a little too large is tried.
 */
const PER_BYTE: Readonly<Record<OperationKind, number>> = {
  score: 1.1,
  encode: 1.1,
  predict: 1.1,
  rank: 1.1,
  gradient: 1.4,
  "train-step": 4.4,
  "train-run": 9,
  // Vectors alone.
  "score-pairs": 0,
};

/** Bytes that a worker's inference child needs for an operation of this kind; 0 where the checkpoint's size is not known. */
export const memoryNeed = (kind: OperationKind, checkpointBytes: number | undefined): number =>
  checkpointBytes === undefined ? 0 : Math.round(CHILD_BYTES + PER_BYTE[kind] * checkpointBytes);
