/** Logits of one row: one number for a sigmoid head (labels 0 and 1), else one per label. */
export type Logits = ArrayLike<number>;

/** Cross-entropy of a row with a label, in nats: float64 from the float32 logits, never negative. */
export function crossEntropy(logits: Logits, label: number): number {
  if (logits.length === 1) return softplus(label === 1 ? -logits[0]! : logits[0]!);
  const largest = indexOfLargest(logits);
  let others = 0;
  for (let k = 0; k < logits.length; k++)
    if (k !== largest) others += Math.exp(logits[k]! - logits[largest]!);
  return Math.log1p(others) + (logits[largest]! - logits[label]!);
}

/** log(1 + eˣ) without overflow. */
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** Ties go to the lower index. */
export function indexOfLargest(values: Logits): number {
  let largest = 0;
  for (let k = 1; k < values.length; k++) if (values[k]! > values[largest]!) largest = k;
  return largest;
}
