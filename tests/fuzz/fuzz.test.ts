import { expect, test } from "vitest";
import type { Job } from "./child.ts";
import { explained, fuzz, table } from "./fuzz.ts";
import { PARSERS } from "./parsers.ts";

/** The same inputs every time; `npm run test:fuzz` has others. */
const SEED = 7;
/** Inputs of a job: both children are to end at about the same time. */
const SLICE = 500;

/** What is known comes first; then parsers take turns, and all end at about the same time. */
function jobs(): Job[] {
  const slices = PARSERS.flatMap(({ name, runs }) =>
    Array.from({ length: Math.ceil(runs / SLICE) }, (_, k) => {
      const job: Job = {
        kind: "slice",
        parser: name,
        seed: SEED + k,
        runs: Math.min(SLICE, runs - k * SLICE),
      };
      return { job, turn: (k * SLICE) / runs };
    }),
  );
  slices.sort((a, b) => a.turn - b.turn);
  return [
    ...PARSERS.map(({ name }): Job => ({ kind: "known", parser: name })),
    ...slices.map(({ job }) => job),
  ];
}

test("a hundred thousand inputs of all parsers end in a result or a named error, in time and memory", {
  timeout: 600_000,
}, async () => {
  const waiting = jobs();
  const began = performance.now();
  const outcome = await fuzz(() => waiting.shift());
  console.log(`${table(outcome)}\nin ${((performance.now() - began) / 1_000).toFixed(0)} s`);
  expect(outcome.found.map(explained)).toEqual([]);
  let all = 0;
  for (const { name, runs } of PARSERS) {
    const tally = outcome.tallies.get(name)!;
    expect(tally.runs, name).toBe(runs);
    expect(tally.pastHeader / tally.runs, `${name}: inputs past the header`).toBeGreaterThan(0.3);
    all += tally.runs;
  }
  expect(all).toBeGreaterThanOrEqual(100_000);
});
