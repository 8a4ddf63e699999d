/** A count of rows with its Wilson interval. */
export interface Rate {
  /** Rows that count. */
  readonly hits: number;
  /** Rows looked at. */
  readonly n: number;
  /** hits ÷ n; NaN where n is 0. */
  readonly value: number;
  /** Bounds of the 95 % Wilson score interval, within [0, 1]. */
  readonly low: number;
  readonly high: number;
}

/** Standard normal quantile of 97.5 %. */
const z95 = 1.959963984540054;

/** Share with its interval (Wilson 1927); with no rows the interval is all of [0, 1]. */
export function rateOf({ hits, n }: { readonly hits: number; readonly n: number }): Rate {
  if (!(Number.isInteger(hits) && Number.isInteger(n) && hits >= 0 && hits <= n)) {
    throw new RangeError(`${hits} of ${n} is no share`);
  }
  if (n === 0) return { hits, n, value: Number.NaN, low: 0, high: 1 };
  const value = hits / n;
  const square = z95 ** 2;
  const centre = (value + square / (2 * n)) / (1 + square / n);
  const half = (z95 / (1 + square / n)) * Math.sqrt((value * (1 - value)) / n + square / (4 * n ** 2));
  return {
    hits,
    n,
    value,
    low: hits === 0 ? 0 : Math.max(0, centre - half),
    high: hits === n ? 1 : Math.min(1, centre + half),
  };
}

/** `0.959 (349/364, 95 % 0.933 to 0.975)`. */
export function formatRate({ hits, n, value, low, high }: Rate): string {
  if (n === 0) return "none (0/0)";
  return `${value.toFixed(3)} (${hits}/${n}, 95 % ${low.toFixed(3)} to ${high.toFixed(3)})`;
}
