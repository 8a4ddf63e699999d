import fc from "fast-check";
import { expect, test } from "vitest";
import {
  byScore,
  meanReciprocalRank,
  middlePlace,
  newRank,
  planWindows,
  rankOf,
} from "../../../coordinator/search/ranks.ts";

test("a query's own code comes behind codes with a larger score, and behind equal ones", () => {
  expect(rankOf([0.1, 0.5, 0.3], 1)).toBe(1);
  expect(rankOf([0.1, 0.5, 0.3], 0)).toBe(3);
  expect(rankOf([0.5, 0.5, 0.3], 1)).toBe(2);
});

test("ranks beyond 1,000 count as not found", () => {
  expect(meanReciprocalRank([1, 2, 1_000, 1_001])).toBeCloseTo((1 + 0.5 + 0.001) / 4, 12);
});

test.each([
  { codes: 463, plan: { codebase: 463, window: 464, starts: 1 }, middle: 231 },
  { codes: 1, plan: { codebase: 1, window: 2, starts: 1 }, middle: 0 },
  { codes: 998, plan: { codebase: 998, window: 999, starts: 1 }, middle: 498 },
  { codes: 999, plan: { codebase: 999, window: 1_000, starts: 1 }, middle: 499 },
  { codes: 1_500, plan: { codebase: 1_500, window: 1_000, starts: 502 }, middle: 499 },
  // The published evaluator: 999 of the first 3,999 codes from a place in 0 … 3,000, and rank int(1000 · 0.5 − 1).
  { codes: 3_999, plan: { codebase: 3_999, window: 1_000, starts: 3_001 }, middle: 499 },
  { codes: 14_000, plan: { codebase: 3_999, window: 1_000, starts: 3_001 }, middle: 499 },
])("$codes codes without the word make windows of $plan.window", ({ codes, plan, middle }) => {
  expect(planWindows(codes)).toEqual(plan);
  expect(middlePlace(plan.window)).toBe(middle);
  // The last window ends with the last code.
  expect(plan.starts - 1 + plan.window - 1).toBe(plan.codebase);
});

test("a code whose score did not change keeps its place among different scores", () => {
  const different = fc.uniqueArray(fc.double({ min: -1, max: 1, noNaN: true }), {
    minLength: 1,
    maxLength: 30,
    comparator: (a, b) => a === b, // 0 and −0 are one score
  });
  fc.assert(
    fc.property(different, (scores) => {
      for (const [place, index] of byScore(scores).entries())
        expect(newRank(scores, index, scores[index]!)).toBe(place + 1);
    }),
  );
});
