/**
 * Learning rate of each step: a linear rise over the warm-up, then a linear fall to 0. The warm-up is a fraction of the steps
 * and is not rounded; step 0 has rate 0 unless there is no warm-up (`golden/README.md`, "Optimiser").
 *
 * @param step from 0
 * @param warmup share of `totalSteps`
 */
export function learningRateAt(
  step: number,
  totalSteps: number,
  learningRate: number,
  warmup: number,
): number {
  const warmupSteps = totalSteps * warmup;
  const factor =
    step < warmupSteps
      ? step / Math.max(1, warmupSteps)
      : Math.max(0, (totalSteps - step) / Math.max(1, totalSteps - warmupSteps));
  return learningRate * factor;
}
