import { expect, test } from "vitest";
import { calmRun } from "./calm-run.ts";
import { digestOfRun, explained } from "./seeds.ts";
import { runSeed } from "./world.ts";

const SEED = process.env.ELIBAD_SIM_SEED;

// Made only where a seed is named: a skipped test would count as one that could not run.
if (SEED !== undefined) {
  test(`seed ${SEED}, with everything that happens in it`, async () => {
    const outcome = await runSeed(Number(SEED));
    console.log(outcome.events.join("\n"));
    if (outcome.violation) throw new Error(explained(outcome), { cause: outcome.violation });
  });
}

test("a seed stands for one run: the same events in the same order every time", async () => {
  for (const seed of [1, 2, 3, 5, 8, 13, 21, 34]) {
    const [first, second] = [await runSeed(seed), await runSeed(seed)];
    expect(digestOfRun(second)).toBe(digestOfRun(first));
    expect([...second.counts]).toEqual([...first.counts]);
  }
  expect(digestOfRun(await runSeed(1))).not.toBe(digestOfRun(await runSeed(2)));
});

test("runs beside each other do not touch each other", async () => {
  const alone = digestOfRun(await runSeed(4));
  const [beside] = await Promise.all([runSeed(4), runSeed(6), runSeed(7)]);
  expect(digestOfRun(beside!)).toBe(alone);
});

test("what a job finds depends on every bit of its results and on the class of its device", async () => {
  const script = { model: "m", searches: 2, steps: 3, tiles: 2, inFlight: 1 };
  const [red, blue] = await Promise.all([calmRun(script, 1), calmRun(script, 2)]);
  expect([...red.steps.keys()]).toEqual(["0 1", "0 2", "0 3", "1 1", "1 2", "1 3"]);
  for (const [step, digest] of red.steps) expect(blue.steps.get(step)).not.toBe(digest);
  expect(blue.report).not.toBe(red.report);
});
