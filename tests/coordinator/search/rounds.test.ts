import fc from "fast-check";
import { expect, test } from "vitest";
import { sumInOrder } from "../../../coordinator/search/loss.ts";
import {
  absorb,
  type CandidateScore,
  finishScoring,
  planRound,
  startScoring,
  type TilePlan,
  winnerOf,
} from "../../../coordinator/search/rounds.ts";
import { tileSizesOf } from "../../../coordinator/search/tiles.ts";

const everything: TilePlan = {
  pruning: false,
  pruneBlock: 2,
  roundTiles: 1,
  diveSamples: 2,
  diveCandidates: 2,
};

interface Table {
  /** [candidate][sample] */
  readonly losses: readonly (readonly number[])[];
  readonly tileSizes: readonly number[];
  readonly sampleLosses: readonly number[];
}

/** Scores a table of known losses as a step would; counts the cells that were asked for. */
function score(table: Table, plan: TilePlan): { scores: CandidateScore[]; cells: number } {
  const { tileSizes, sampleLosses } = table;
  let scoring = startScoring(table.losses.length, { plan, form: "float64", tileSizes, sampleLosses });
  const seen = new Set<string>();
  for (let tiles = planRound(scoring); tiles.length > 0; tiles = planRound(scoring)) {
    for (const { sample, candidates } of tiles)
      for (const candidate of candidates) {
        expect(seen.has(`${candidate},${sample}`)).toBe(false);
        seen.add(`${candidate},${sample}`);
      }
    const results = tiles.map(({ sample, candidates }) => candidates.map((k) => table.losses[k]![sample]!));
    scoring = absorb(scoring, tiles, results);
  }
  return { scores: finishScoring(scoring), cells: seen.size };
}

// Few distinct values, so that equal totals and equal partial sums are common; and values of very different size.
const loss = fc.oneof(
  fc.constantFrom(0, 0.1, 0.2, 0.3, 1),
  fc.double({ min: 0, max: 1e-9, noNaN: true }),
  fc.double({ min: 0, max: 30, noNaN: true }),
);
const table = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 9 })).chain(([r, n]) =>
  fc.record({
    losses: fc.array(fc.array(loss, { minLength: n, maxLength: n }), { minLength: r, maxLength: r }),
    tileSizes: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: n, maxLength: n }),
    sampleLosses: fc.array(loss, { minLength: n, maxLength: n }),
  }),
);
const plan: fc.Arbitrary<TilePlan> = fc.record({
  pruning: fc.boolean(),
  pruneBlock: fc.integer({ min: 1, max: 5 }),
  roundTiles: fc.integer({ min: 1, max: 20 }),
  diveSamples: fc.integer({ min: 1, max: 4 }),
  diveCandidates: fc.integer({ min: 1, max: 4 }),
});

test("every plan, with and without pruning, finds the winner and the winner's loss of scoring everything", () => {
  fc.assert(
    fc.property(table, plan, (given, chosen) => {
      const all = score(given, everything);
      const some = score(given, chosen);
      const winner = winnerOf(all.scores);
      expect(winnerOf(some.scores)).toBe(winner);
      expect(some.scores[winner]).toEqual(all.scores[winner]);
      expect(all.cells).toBe(given.losses.length * given.tileSizes.length);
    }),
    { numRuns: 400 },
  );
});

test("a complete loss is that of scoring everything, and a pruned one lies above its bound and above the winner's", () => {
  fc.assert(
    fc.property(table, plan, (given, chosen) => {
      const all = score(given, everything).scores;
      const best = all[winnerOf(all)]!;
      for (const [k, partial] of score(given, chosen).scores.entries()) {
        const whole = all[k]!;
        if (partial.kind === "complete") expect(partial).toEqual(whole);
        else if (whole.kind === "complete" && best.kind === "complete") {
          expect(whole.mean).toBeGreaterThanOrEqual(partial.bound);
          expect(whole.total).toBeGreaterThan(best.total);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("a partial sum in floating point, less its margin, never exceeds the complete sum", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.double({ min: 0, max: 1e300, noNaN: true }), fc.boolean()), { minLength: 1 }),
      (terms) => {
        const partial = sumInOrder(terms.filter(([, taken]) => taken).map(([value]) => value));
        const complete = sumInOrder(terms.map(([value]) => value));
        expect(partial * (1 - terms.length * 2 ** -52)).toBeLessThanOrEqual(complete);
      },
    ),
  );
});

test("equal totals go to the lower index, pruned or not", () => {
  const losses = [
    [0.5, 1],
    [1, 0.5],
    [0.5, 1],
  ];
  const given = { losses, tileSizes: [15, 15], sampleLosses: [1, 2] };
  for (const pruning of [true, false])
    expect(winnerOf(score(given, { ...everything, pruning }).scores)).toBe(0);
});

test("all candidates meet the hardest samples first, then the best of them go to the end", () => {
  const losses = Array.from({ length: 6 }, (_, k) => [
    0.1 * (k + 1),
    0.1 * (k + 1),
    0.1 * (k + 1),
    0.1 * (k + 1),
  ]);
  const options = { plan: { ...everything, pruning: true }, form: "float64" } as const;
  const start = startScoring(6, {
    ...options,
    tileSizes: tileSizesOf([100, 100, 100, 50], 300),
    sampleLosses: [1, 3, 2, 3],
  });

  const dive = planRound(start);
  expect(dive).toEqual([
    { sample: 1, candidates: [0, 1, 2] },
    { sample: 1, candidates: [3, 4, 5] },
    { sample: 3, candidates: [0, 1, 2, 3, 4, 5] },
  ]);
  const after = absorb(
    start,
    dive,
    dive.map(({ sample, candidates }) => candidates.map((k) => losses[k]![sample]!)),
  );
  expect(planRound(after)).toEqual([
    { sample: 2, candidates: [0, 1] },
    { sample: 0, candidates: [0, 1] },
  ]);
});

test("samples are met by loss for what they cost", () => {
  const options = { plan: { ...everything, pruning: true, diveSamples: 3 }, form: "float64" } as const;
  const start = startScoring(1, {
    ...options,
    tileSizes: [1, 1, 1, 1],
    sampleLosses: [4, 3, 2, 3],
    costs: [40, 10, 5, 10],
  });
  expect(planRound(start).map(({ sample }) => sample)).toEqual([2, 1, 3]);
});

test("where the first complete candidates are bad ones, a better one is completed early and excludes the rest", () => {
  // Candidates 0 and 1 have no loss on the samples that are scored first, and are the worst on all others.
  const dive = 2;
  const losses = Array.from({ length: 64 }, (_, k) =>
    Array.from({ length: 30 }, (_, s) => (k < 2 ? (s < dive ? 0 : 9) : k === 40 ? 0.1 : 1)),
  );
  const given = {
    losses,
    tileSizes: losses[0]!.map(() => 5),
    sampleLosses: losses[0]!.map((_, s) => 30 - s),
  };
  const { scores, cells } = score(given, { ...everything, pruning: true, diveSamples: dive });
  expect(winnerOf(scores)).toBe(40);
  expect(cells).toBeLessThan(64 * 30 * 0.25);
});

test("a table with one clear winner is pruned to less than half", () => {
  const losses = Array.from({ length: 64 }, (_, k) => Array.from({ length: 30 }, () => (k === 9 ? 0.01 : 1)));
  const given = {
    losses,
    tileSizes: losses[0]!.map(() => 5),
    sampleLosses: losses[0]!.map((_, k) => k),
  };
  expect(score(given, { ...everything, pruning: true }).cells).toBeLessThan(64 * 30 * 0.15);
});

test("a loss that is not a number is refused with candidate and sample", () => {
  const start = startScoring(2, {
    plan: everything,
    form: "float64",
    tileSizes: [150],
    sampleLosses: [1],
  });
  expect(() => absorb(start, planRound(start), [[0.5, Number.NaN]])).toThrow(
    "candidate 1 on sample 0 is NaN",
  );
});
