import { type Logits, lossToward } from "../search/loss.ts";

/** What a row's logits are trained toward: its label, or given logits (squared error summed over classes). */
export type Objective =
  | { readonly kind: "label"; readonly label: number }
  | { readonly kind: "logits"; readonly logits: readonly number[] };

/** One row of a batch. */
export interface Example {
  /** Row of the sample set. */
  readonly row: number;
  readonly objective: Objective;
  /** Factor of the row's loss in its batch: 1 ÷ batch size for a mean. */
  readonly weight: number;
}

/** Loss of a row, in nats or squared logits, before its weight. */
export function objectiveLoss(logits: Logits, objective: Objective): number {
  if (objective.kind === "label") return lossToward(logits, objective.label);
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
      gradient[c] = Math.exp(-lossToward(logits, c)) - (c === objective.label ? 1 : 0);
    }
  }
  return gradient;
}

/** Examples of one batch with equal weights: their loss is the mean. */
export function meanOf(rows: readonly { readonly row: number; readonly objective: Objective }[]): Example[] {
  return rows.map(({ row, objective }) => ({ row, objective, weight: 1 / rows.length }));
}
