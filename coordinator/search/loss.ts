/**
 * Loss of a row toward a label, in nats. `float64` computes it in float64 from the float32 logits and is never negative;
 * `published` is the reference's float32 form, −log(p + 1e-10) where the model has one logit.
 */
export type LossForm = "float64" | "published";

/** Logits of one row: one number for a sigmoid head (labels 0 and 1), else one per label. */
export type Logits = ArrayLike<number>;

/** Labels that a head with `logits` outputs tells apart. */
export const labelCount = (logits: number): number => (logits === 1 ? 2 : logits);

export function lossToward(logits: Logits, target: number, form: LossForm = "float64"): number {
  return form === "float64" ? exactLoss(logits, target) : publishedLoss(logits, target);
}

/** Softmax or sigmoid probability of `target`. */
export const probabilityOf = (logits: Logits, target: number): number => Math.exp(-exactLoss(logits, target));

/** The label that the model answers: p > 0.5 for a sigmoid head, else the largest logit (ties to the lower label). */
export function predictedLabel(logits: Logits): number {
  if (logits.length === 1) return logits[0]! > 0 ? 1 : 0;
  return indexOfLargest(logits);
}

function exactLoss(logits: Logits, target: number): number {
  if (logits.length === 1) return softplus(target === 1 ? -logits[0]! : logits[0]!);
  const largest = indexOfLargest(logits);
  let others = 0;
  for (let k = 0; k < logits.length; k++)
    if (k !== largest) others += Math.exp(logits[k]! - logits[largest]!);
  return Math.log1p(others) + (logits[largest]! - logits[target]!);
}

/** log(1 + eˣ) without overflow. */
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

const { fround } = Math;
const EPSILON = fround(1e-10);

function publishedLoss(logits: Logits, target: number): number {
  if (logits.length > 1) return fround(exactLoss(logits, target));
  const one = fround(1 / (1 + Math.exp(-logits[0]!)));
  const probability = target === 1 ? one : fround(1 - one);
  return fround(-Math.log(fround(probability + EPSILON)));
}

function indexOfLargest(values: Logits): number {
  let largest = 0;
  for (let k = 1; k < values.length; k++) if (values[k]! > values[largest]!) largest = k;
  return largest;
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
