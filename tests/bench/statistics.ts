/** What repetitions say together: the middle, and where most of them lie. */
export interface Summary {
  readonly median: number;
  /** 10th and 90th percentile; of a few values nearly the least and the largest. */
  readonly low: number;
  readonly high: number;
}

/** @throws RangeError where there is no value */
export function summarise(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError("no values to summarise");
  const sorted = [...values].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), low: quantile(sorted, 0.1), high: quantile(sorted, 0.9) };
}

/** Linear between the two neighbours, as NumPy's default. */
function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)]!;
  const above = sorted[Math.ceil(place)]!;
  return below + (above - below) * (place - Math.floor(place));
}
