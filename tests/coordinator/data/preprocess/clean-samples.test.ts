import { expect, test } from "vitest";
import { drawCleanSamples } from "../../../../coordinator/data/preprocess/clean-samples.ts";

const labels = [1, 1, 0, 1, 0, 0, 1, 1, 0, 1];

// Values printed by CPython 3.11: random.seed(42), then random.sample over the rows of label 1, which comes first, then of label 0.
test("each label's rows are drawn in the order in which labels first occur, and written in the order of the labels", () => {
  expect(drawCleanSamples(labels, { ratio: 2, labels: 2, seed: 42 })).toEqual([2, 5, 9, 0]);
});

test("a ratio below 1 is a share of all rows, divided among the labels", () => {
  expect(drawCleanSamples(labels, { ratio: 0.5, labels: 2, seed: 42 })).toHaveLength(4); // ⌊10 · 0.5 ÷ 2⌋ each
});

test("a label with fewer rows gives all that it has", () => {
  const drawn = drawCleanSamples(labels, { ratio: 100, labels: 2, seed: 42 });
  expect(drawn.toSorted((a, b) => a - b)).toEqual(labels.map((_, row) => row));
});

test("another number of labels, or a share of nothing, is refused", () => {
  expect(() => drawCleanSamples(labels, { ratio: 2, labels: 3, seed: 42 })).toThrow(/other labels: 0, 1/);
  expect(() => drawCleanSamples(labels, { ratio: 0.1, labels: 2, seed: 42 })).toThrow(/no sample/);
});
