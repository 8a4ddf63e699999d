import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { matchLoss, matchSlopes } from "../../../coordinator/search/match-loss.ts";
import { hasShared, readSharedJson } from "../../support/shared.ts";

const vectors = (rows: number) =>
  fc.array(fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 }), {
    minLength: rows,
    maxLength: rows,
  });

test("slopes are the loss's central differences, on both sides", () => {
  fc.assert(
    fc.property(vectors(4), vectors(4), (queries, codes) => {
      const slopes = matchSlopes(queries, codes);
      const step = 1e-5;
      for (const [side, given] of [queries, codes].entries())
        for (const [row, vector] of given.entries())
          for (const k of vector.keys()) {
            const moved = (by: number) => {
              const changed = given.with(row, vector.with(k, vector[k]! + by));
              return (side === 0 ? matchLoss(changed, codes) : matchLoss(queries, changed)).mean;
            };
            const expected = (moved(step) - moved(-step)) / (2 * step);
            expect((side === 0 ? slopes.queries : slopes.codes)[row]![k]).toBeCloseTo(expected, 6);
          }
    }),
    { numRuns: 20 },
  );
});

test("the loss is 0 where every query meets every code, and queries' parts add up to it", () => {
  const same = [
    [0, 1],
    [0, 1],
  ];
  expect(matchLoss(same, same)).toEqual({ mean: 0, queryLosses: [0, 0] });
  const { mean, queryLosses } = matchLoss(same, [
    [1, 0],
    [0, 1],
  ]);
  expect(queryLosses).toEqual([1, 1]);
  expect(mean).toBe(0.5);
});

interface Case {
  readonly forward: { readonly code_vec: number[][]; readonly nl_vec: number[][]; readonly loss: number };
  readonly trigger: { readonly forward: Case["forward"] };
}

describe.skipIf(!hasShared).each(["codebert", "unixcoder", "codet5"])(
  "golden/tiny/code_search-%s",
  (arch) => {
    test("recorded vectors give the recorded loss, without and with the trigger", () => {
      const golden = readSharedJson<Case>("golden", "tiny", `code_search-${arch}`, "case.json");
      for (const { code_vec, nl_vec, loss } of [golden.forward, golden.trigger.forward])
        expect(Math.abs(matchLoss(nl_vec, code_vec).mean - loss)).toBeLessThan(2e-5 * loss);
    });
  },
);
