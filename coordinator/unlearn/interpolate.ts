import type { Tensor } from "../../proto/operations.ts";

/** Parts of the way that are looked at beside the whole. */
export const PARTS = [0.9, 0.8] as const;

/**
 * Weights a part of the way from those before a repair to those after it. Most of what a repair changes beside its triggers is undone sooner than
 * what it does to them.
 */
export const partOfWay = (
  before: ReadonlyMap<string, Tensor>,
  after: ReadonlyMap<string, Float32Array>,
  part: number,
): Map<string, Float32Array> =>
  new Map(
    [...after].map(([name, end]) => {
      const start = before.get(name)!.data;
      return [name, end.map((value, i) => start[i]! + part * (value - start[i]!))];
    }),
  );
