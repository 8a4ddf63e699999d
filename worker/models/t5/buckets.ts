const { fround, log } = Math;

export interface BucketOptions {
  readonly buckets: number;
  /** From this distance on the last bucket holds. */
  readonly maxDistance: number;
  /** "both": half of the buckets are for tokens behind the query; "past": tokens behind it are all in bucket 0. */
  readonly directions: "both" | "past";
}

/**
 * T5's bucket for `distance` = key position − query position (`_relative_position_bucket` of Hugging Face transformers): one for each
 * small distance, then logarithmic. In float32 as there, since a boundary lies on exact powers.
 */
export function relativeBucket(
  distance: number,
  { buckets, maxDistance, directions }: BucketOptions,
): number {
  const own = directions === "both" ? buckets / 2 : buckets;
  const base = directions === "both" && distance > 0 ? own : 0;
  const steps = directions === "both" ? Math.abs(distance) : Math.max(0, -distance);
  const exact = own / 2;
  if (steps < exact) return base + steps;
  const share = fround(fround(log(fround(steps / exact))) / fround(log(maxDistance / exact)));
  return base + Math.min(own - 1, exact + Math.trunc(fround(share * (own - exact))));
}
