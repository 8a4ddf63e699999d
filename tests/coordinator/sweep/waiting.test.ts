import { expect, test } from "vitest";
import { fold } from "../../../coordinator/sweep/fold.ts";
import { NO_SWEEPS, type SweepSpec, type SweepsState } from "../../../coordinator/sweep/sweep.ts";
import { whyQueued } from "../../../coordinator/sweep/waiting.ts";
import { events, sweepOf } from "../../support/sweeps.ts";

const submitted = (...specs: SweepSpec[]): SweepsState =>
  specs.reduce((state, spec) => fold(state, { kind: "sweep-submitted", at: 0, spec }), NO_SWEEPS);
const started = (state: SweepsState, sweep: string, ...jobs: string[]): SweepsState =>
  jobs.reduce(
    (now, job) => fold(now, { kind: "job-moved", at: 0, sweep, job, event: events.started }),
    state,
  );
const why = (state: SweepsState, sweep: string, job: string) => whyQueued(state, { sweep, job }, 4);

test("a queued job says how many start before it, in the order in which jobs of several sweeps take turns", () => {
  const state = submitted(sweepOf("large", 10), sweepOf("small", 2));
  expect(why(state, "large", "m0")).toEqual(["it is the next one to start"]);
  expect(why(state, "small", "m0")).toEqual(["1 job starts before it"]);
  expect(why(state, "small", "m1")).toEqual(["3 jobs start before it"]);
  expect(why(state, "large", "m9")).toEqual(["11 jobs start before it"]);
});

test("it names the bounds that hold it back: of the coordinator, of its sweep, and sweeps of a higher priority", () => {
  const state = started(submitted(sweepOf("large", 10, { maxParallel: 2 })), "large", "m0", "m1");
  expect(why(state, "large", "m2")).toEqual([
    "it is the next one to start",
    "its sweep has 2 of at most 2 jobs at work (max_parallel)",
  ]);
  const full = started(
    submitted(sweepOf("large", 10), sweepOf("urgent", 1, { priority: 5 })),
    ...(["large", "m0", "m1", "m2", "m3"] as const),
  );
  expect(why(full, "large", "m4")).toEqual([
    "1 job starts before it",
    "the coordinator is at work on 4 of at most 4 jobs (--jobs-in-flight)",
    "its sweep has 4 of at most 4 jobs at work (max_parallel)",
    "sweep 'urgent' goes first (priority 5, its own 0)",
  ]);
});
