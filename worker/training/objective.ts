import type { MicroBatch } from "../../proto/operations.ts";
import { crossEntropy, type Logits } from "./cross-entropy.ts";

/** What a row's logits are trained toward: its label, or given logits (squared error summed over classes). */
export type Objective =
  | { readonly kind: "label"; readonly label: number }
  | { readonly kind: "logits"; readonly logits: readonly number[] };

/** Loss of a row, in nats or squared logits, before its weight. */
export function objectiveLoss(logits: Logits, objective: Objective): number {
  if (objective.kind === "label") return crossEntropy(logits, objective.label);
  let sum = 0;
  for (let c = 0; c < objective.logits.length; c++) sum += (logits[c]! - objective.logits[c]!) ** 2;
  return sum;
}

/** ∂(row's loss)/∂logits [classes], before its weight. */
export function objectiveGradient(logits: Logits, objective: Objective): Float64Array {
  const gradient = new Float64Array(logits.length);
  if (objective.kind === "logits") {
    for (let c = 0; c < gradient.length; c++) gradient[c] = 2 * (logits[c]! - objective.logits[c]!);
  } else if (logits.length === 1) {
    gradient[0] = 1 / (1 + Math.exp(-logits[0]!)) - objective.label;
  } else {
    for (let c = 0; c < gradient.length; c++) {
      gradient[c] = Math.exp(-crossEntropy(logits, c)) - (c === objective.label ? 1 : 0);
    }
  }
  return gradient;
}

/** Weighted loss of a micro-batch from its `logits` [rows, classes]. Slopes have none: their loss was computed before. */
export function microBatchLoss(
  logits: { readonly shape: readonly number[]; readonly data: Float32Array } | undefined,
  { rows, rowWeights, objective }: MicroBatch,
): number {
  if (objective.kind === "vectors") return 0;
  if (!logits) throw new Error("a micro-batch was answered without logits");
  const classes = logits.shape[1] ?? 1;
  let sum = 0;
  for (let k = 0; k < rows.length; k++) {
    const own = logits.data.subarray(k * classes, (k + 1) * classes);
    sum += rowWeights[k]! * objectiveLoss(own, objectiveAt(objective, k));
  }
  return sum;
}

const objectiveAt = (
  objective: Exclude<MicroBatch["objective"], { kind: "vectors" }>,
  row: number,
): Objective =>
  objective.kind === "labels"
    ? { kind: "label", label: objective.labels[row]! }
    : { kind: "logits", logits: objective.logits[row]! };
