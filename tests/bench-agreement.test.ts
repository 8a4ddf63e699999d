import { expect, test } from "vitest";
import { agreement, agreementNote, checkLogits, largestDifference, sharedIds } from "./bench/agreement.ts";
import { plus } from "./bench/clock.ts";

const ours = {
  step: 3,
  losses: [0.5, null, 0.25, 0.75],
  winner: 2,
  topk: [
    [1, 2, 3],
    [4, 5, 6],
  ],
};
const theirs = (losses: readonly number[], winner: number, topk = ours.topk) => ({ losses, winner, topk });

test("a step agrees where winner, losses that are known, and ranked ids are the same up to rounding", () => {
  const found = agreement(ours, theirs([0.500001, 0.9, 0.25, 0.75], 2), "PyTorch");
  expect(found).toMatchObject({ tie: false, ranked: 1 });
  expect(found.loss).toBeCloseTo(2e-6, 8);
  expect(agreementNote([found], "PyTorch")).toBe(
    "PyTorch: the same winner in 1 of 1 steps, losses within 2e-6, at least 100.0 % of the ranked ids",
  );
});

test("another winner is an error that names both, with their losses", () => {
  expect(() => agreement(ours, theirs([0.5, 0.2, 0.25, 0.75], 1), "PyTorch")).toThrow(
    "step 3: the winner is 2 (loss 0.25); PyTorch: 1 (loss 0.2)",
  );
});

test("another winner whose loss is equal to float32 is a tie, and is said", () => {
  const found = agreement(ours, theirs([0.5, 0.2499999, 0.25, 0.75], 1), "PyTorch");
  expect(found.tie).toBe(true);
  expect(agreementNote([found], "PyTorch")).toContain("0 of 1 steps (elsewhere two losses are equal");
});

test.each([
  { what: "another loss", losses: [0.5, 0.9, 0.25, 0.7502] },
  { what: "a loss that is no number", losses: [0.5, 0.9, 0.25, Number.NaN] },
  { what: "a missing loss", losses: [0.5, 0.9, 0.25] },
])("$what is an error", ({ losses }) => {
  expect(() => agreement(ours, theirs(losses, 2), "PyTorch")).toThrow("step 3, PyTorch: losses differ");
});

test("ranked ids may change places, and a third of them missing is an error", () => {
  const turned = [
    [3, 2, 1],
    [6, 5, 4],
  ];
  expect(sharedIds(ours.topk, turned)).toBe(1);
  const losses = [0.5, 0.9, 0.25, 0.75];
  expect(agreement(ours, theirs(losses, 2, turned), "PyTorch").ranked).toBe(1);
  const other = [
    [1, 2, 9],
    [4, 5, 9],
  ];
  expect(() => agreement(ours, theirs(losses, 2, other), "PyTorch")).toThrow("66.7 % of the ranked ids");
});

test("logits are compared by the largest of them, and rows of another count never agree", () => {
  expect(largestDifference([2, -4], [2.004, -4])).toBeCloseTo(0.001, 10);
  expect(largestDifference([0, 0], [0, 0])).toBe(0);
  expect(largestDifference([1], [1, 1])).toBe(Number.POSITIVE_INFINITY);
  expect(() => checkLogits([[2], [-4]], [[2.0001], [-4]], "PyTorch")).not.toThrow();
  expect(() => checkLogits([[2], [-4]], [[2.01], [-4]], "PyTorch")).toThrow("PyTorch: logits differ");
});

test("times of a part count as often as the part stands for", () => {
  expect(plus({ wall: 1, processor: 2 }, { wall: 3, processor: 4 }, 8)).toEqual({ wall: 25, processor: 34 });
});
