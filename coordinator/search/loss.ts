import { crossEntropy, indexOfLargest, type Logits } from "../../worker/training/cross-entropy.ts";

/**
 * Loss of a row toward a label, in nats. `float64` computes it in float64 from the float32 logits and is never negative;
 * `published` is the reference's float32 form, −log(p + 1e-10) where the model has one logit.
 */
export type LossForm = "float64" | "published";

/** Labels that a head with `logits` outputs tells apart. */
export const labelCount = (logits: number): number => (logits === 1 ? 2 : logits);

export function lossToward(logits: Logits, target: number, form: LossForm = "float64"): number {
  return form === "float64" ? crossEntropy(logits, target) : publishedLoss(logits, target);
}

/** Softmax or sigmoid probability of `target`. */
export const probabilityOf = (logits: Logits, target: number): number =>
  Math.exp(-crossEntropy(logits, target));

/** The label that the model answers: p > 0.5 for a sigmoid head, else the largest logit (ties to the lower label). */
export function predictedLabel(logits: Logits): number {
  if (logits.length === 1) return logits[0]! > 0 ? 1 : 0;
  return indexOfLargest(logits);
}

const { fround } = Math;
const EPSILON = fround(1e-10);

function publishedLoss(logits: Logits, target: number): number {
  if (logits.length > 1) return fround(crossEntropy(logits, target));
  const one = fround(1 / (1 + Math.exp(-logits[0]!)));
  const probability = target === 1 ? one : fround(1 - one);
  return fround(-Math.log(fround(probability + EPSILON)));
}

/** One addition of a sum in index order: float64, or rounded to float32 for the published form. */
export const addTo = (sum: number, loss: number, form: LossForm): number =>
  form === "float64" ? sum + loss : fround(sum + loss);

/** Sum in index order. */
export function sumInOrder(losses: ArrayLike<number>, form: LossForm = "float64"): number {
  let sum = 0;
  for (let k = 0; k < losses.length; k++) sum = addTo(sum, losses[k]!, form);
  return sum;
}

/** Mean from a sum of `count` losses. */
export const meanOf = (sum: number, count: number, form: LossForm = "float64"): number =>
  form === "float64" ? sum / count : fround(sum / count);
