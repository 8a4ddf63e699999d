import { expect, test } from "vitest";
import { noteCost } from "../faults/cost.ts";
import { FAULT_TYPES, JOB_TRANSITIONS, OPERATION_TRANSITIONS, rarerThan } from "./coverage.ts";
import { runSeeds } from "./seeds.ts";

const SEEDS = Number(process.env.ELIBAD_SIM_SEEDS ?? 2_000);
const FIRST = Number(process.env.ELIBAD_SIM_FIRST ?? 1);

test(`26: ${SEEDS} seeds of faults: no job is lost, nothing counts twice, and every bit is that of the run without faults`, {
  timeout: 120_000 + SEEDS * 400,
}, async (context) => {
  const began = performance.now();
  const { runs, counts, virtualMs } = await runSeeds(FIRST, SEEDS);
  const seconds = (performance.now() - began) / 1_000;
  const hours = virtualMs / 3_600_000;
  console.log(`${runs} seeds, ${hours.toFixed(1)} simulated hours in ${seconds.toFixed(0)} s`);
  noteCost(context, `${hours.toFixed(1)} simulated hours`);
  expect(runs).toBe(SEEDS);
  // Fewer seeds than the suite has are for looking at something.
  const least = SEEDS < 2_000 ? 0 : 100;
  expect(rarerThan(least, FAULT_TYPES, counts)).toEqual([]);
  expect(rarerThan(least, JOB_TRANSITIONS, counts)).toEqual([]);
  expect(rarerThan(least, OPERATION_TRANSITIONS, counts)).toEqual([]);
});
