import { logSoftmax, mul, neg, reduceSum, reshape, softplus, sub, type Value } from "../graph/index.ts";

/** What a row's loss compares its logits with. */
export type Objective = "labels" | "logits";

/**
 * Loss of each row, [B], from logits and targets [B, classes]. "labels": binary cross-entropy with logits where there is one logit
 * (target 0 or 1), else cross-entropy (target one-hot); "logits": squared error summed over the classes.
 */
export function rowLosses(logits: Value, targets: Value, objective: Objective): Value {
  if (objective === "logits") {
    const difference = sub(logits, targets);
    return reduceSum(mul(difference, difference), [1]);
  }
  if (logits.shape[1] === 1) return reshape(sub(softplus(logits), mul(logits, targets)), [-1]);
  return neg(reduceSum(mul(logSoftmax(logits), targets), [1]));
}

/** The `targets` row that pulls toward a label: the label itself for one logit, else one-hot. */
export function labelTargets(label: number, classes: number): number[] {
  return classes === 1 ? [label] : Array.from({ length: classes }, (_, index) => (index === label ? 1 : 0));
}
