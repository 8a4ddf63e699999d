import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cleanMetrics, targetRate } from "../../../coordinator/evaluate/metrics.ts";
import { formatRate, rateOf } from "../../../coordinator/search/rate.ts";

describe("a rate", () => {
  it("has Wilson's interval", () => {
    // Roots of (p − 349/364)² = z²·p·(1 − p)/364, solved with 40 digits.
    const { low, high } = rateOf({ hits: 349, n: 364 });
    expect(low).toBeCloseTo(0.933129494833, 10);
    expect(high).toBeCloseTo(0.974870383894, 10);
    expect(formatRate(rateOf({ hits: 349, n: 364 }))).toBe("0.959 (349/364, 95 % 0.933 to 0.975)");
  });

  it("keeps the share inside an interval inside 0 to 1, which narrows with more rows", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (n, share) => {
          const hits = Math.round(n * share);
          const { value, low, high } = rateOf({ hits, n });
          const wide = rateOf({ hits: hits * 4, n: n * 4 });
          expect(low).toBeGreaterThanOrEqual(0);
          expect(high).toBeLessThanOrEqual(1);
          expect(low).toBeLessThanOrEqual(value);
          expect(high).toBeGreaterThanOrEqual(value);
          expect(wide.high - wide.low).toBeLessThan(high - low);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("of no rows says so", () => {
    expect(formatRate(rateOf({ hits: 0, n: 0 }))).toBe("none (0/0)");
    expect(() => rateOf({ hits: 2, n: 1 })).toThrow("2 of 1 is no share");
  });
});

describe("metrics of a classifier", () => {
  it("take p > 0.5 of one logit: zero is label 0", () => {
    const { acc, recall } = cleanMetrics([[0.1], [0], [-3], [2]], [1, 1, 0, 0]);
    expect([acc.hits, acc.n]).toEqual([2, 4]);
    expect(recall.map(({ hits, n }) => [hits, n])).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });

  it("take the largest of several logits", () => {
    const { acc, recall } = cleanMetrics(
      [
        [1, 2, 0],
        [0, 1, 3],
        [5, 1, 3],
      ],
      [1, 0, 0],
    );
    expect(acc.hits).toBe(2);
    expect(recall.map(({ hits, n }) => [hits, n])).toEqual([
      [1, 2],
      [1, 1],
      [0, 0],
    ]);
  });

  it("count rows answered with the target whatever they were before", () => {
    expect(targetRate([[1], [-1], [-2]], 0)).toMatchObject({ hits: 2, n: 3 });
  });
});
