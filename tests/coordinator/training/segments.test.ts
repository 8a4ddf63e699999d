import { expect, test } from "vitest";
import { segmentLength } from "../../../coordinator/training/segments.ts";
import type { SampleSet, SegmentStep } from "../../../proto/operations.ts";

/** Rows of 3 and of 5 tokens. */
const set: SampleSet = {
  rows: [
    [0, 1, 2],
    [0, 1, 2, 3, 4],
  ],
  maxLen: 5,
  endId: 2,
};

/** Two rows of 5 tokens with the padding. */
const step: SegmentStep = {
  kind: "rows",
  learningRate: 1,
  microBatches: [
    { rows: [0, 1], rowWeights: [1, 1], objective: { kind: "labels", labels: [0, 1] }, dropoutSeed: 0 },
  ],
};
const steps = (count: number): SegmentStep[] => Array.from({ length: count }, () => step);
const limits = { flop: 1e9, messageBytes: 1e6 };

test("a segment has as many steps as stay within the operations that it may take", () => {
  // 10 tokens · 6 · 100 weights = 6,000 a step.
  expect(segmentLength(steps(9), set, 100, { ...limits, flop: 18_000 })).toBe(3);
  expect(segmentLength(steps(9), set, 100, { ...limits, flop: 17_999 })).toBe(2);
  expect(segmentLength(steps(2), set, 100, { ...limits, flop: 18_000 })).toBe(2);
});

test("a second snippet counts, and so does the second pass of a loss of vectors", () => {
  const pairs = { ...set, secondRows: set.rows };
  expect(segmentLength(steps(9), pairs, 100, { ...limits, flop: 36_000 })).toBe(3);
  const meeting: SegmentStep = {
    ...{ kind: "vectors", learningRate: 1, loss: { kind: "contrastive" } },
    microBatches: [{ rows: [0, 1], places: [0, 1] }],
  };
  expect(segmentLength([meeting, meeting, meeting], set, 100, { ...limits, flop: 16_000 })).toBe(2);
});

test("a segment has at least one step, however long, and fits into a message", () => {
  expect(segmentLength(steps(9), set, 100, { ...limits, flop: 1 })).toBe(1);
  expect(segmentLength(steps(9), set, 100, { ...limits, messageBytes: 1 })).toBe(1);
  expect(segmentLength(steps(9), set, 100, { ...limits, messageBytes: 400 })).toBe(2);
});
