import { expect, test } from "vitest";
import type { TrainRunOperation } from "../../../proto/operations.ts";
import { needsOf, replacedBy } from "../../../worker/supervisor/needs.ts";

const segment: TrainRunOperation = {
  kind: "train-run",
  ...{ checkpoint: "c", samples: "s", maxGradNorm: 1, dropout: 0 },
  state: { weights: "w", moments: { means: "m", squares: "q" }, steps: 3 },
  optimiser: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 },
  steps: [],
};
const first: TrainRunOperation = { ...segment, state: { weights: "w", steps: 0 } };

test("a segment reads its samples and the state that it goes on from", () => {
  expect(needsOf(segment)).toEqual({ checkpoint: "c", others: ["s", "w", "m", "q"] });
  expect(needsOf(first)).toEqual({ checkpoint: "c", others: ["s", "w"] });
});

test("a segment's state takes the place of the one before, where it is another, and never of the first weights", () => {
  const files = [{ digest: "w2" }, { digest: "m" }, { digest: "q2" }];
  expect(replacedBy(segment, files)).toEqual(["w", "q"]);
  expect(replacedBy(segment, [])).toEqual([]);
  expect(replacedBy(first, files)).toEqual([]);
  expect(replacedBy({ kind: "encode", checkpoint: "c", samples: "s", rows: [] }, files)).toEqual([]);
});
