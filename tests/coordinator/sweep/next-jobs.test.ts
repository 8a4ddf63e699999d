import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fold } from "../../../coordinator/sweep/fold.ts";
import type { JobEvent } from "../../../coordinator/sweep/job-state.ts";
import { nextJobs } from "../../../coordinator/sweep/next-jobs.ts";
import { jobIdText, NO_SWEEPS, type SweepSpec, type SweepsState } from "../../../coordinator/sweep/sweep.ts";
import { events, sweepOf } from "../../support/sweeps.ts";

const submit = (state: SweepsState, spec: SweepSpec): SweepsState =>
  fold(state, { kind: "sweep-submitted", at: 0, spec });
const happen = (state: SweepsState, id: string, ...all: JobEvent[]): SweepsState => {
  const [sweep, job] = id.split("/") as [string, string];
  return all.reduce((now, event) => fold(now, { kind: "job-moved", at: 0, sweep, job, event }), state);
};
const finish = [events.scanned, events.unlearned, events.evaluated];
const next = (state: SweepsState, limit: number, running: readonly string[] = []) =>
  nextJobs(state, new Set(running), limit).map(jobIdText);

/** Jobs in the order in which they start, `slots` at a time, each over before the next ones start. */
function starts(first: SweepsState, slots: number): string[] {
  const order: string[] = [];
  let state = first;
  for (;;) {
    const chosen = next(state, slots);
    if (chosen.length === 0) return order;
    for (const id of chosen) state = happen(state, id, events.started, ...finish);
    order.push(...chosen);
  }
}
const sweepsOf = (ids: readonly string[]) => ids.map((id) => id.split("/")[0]!);
const count = (ids: readonly string[], sweep: string) =>
  sweepsOf(ids).filter((each) => each === sweep).length;

test("jobs start in the order of the file, as many as there is room for", () => {
  const state = submit(NO_SWEEPS, sweepOf("a", 6, { maxParallel: 3 }));
  expect(next(state, 2)).toEqual(["a/m0", "a/m1"]);
  expect(next(state, 9)).toEqual(["a/m0", "a/m1", "a/m2"]);
  expect(next(happen(state, "a/m0", events.started), 9, ["a/m0"])).toEqual(["a/m1", "a/m2"]);
});

test("a job whose end is not through yet keeps its place, and its own job waits for it", () => {
  const begun = happen(submit(NO_SWEEPS, sweepOf("a", 3, { maxParallel: 1 })), "a/m0", events.started);
  const cancelled = happen(begun, "a/m0", events.cancelled);
  expect(next(cancelled, 4, ["a/m0"])).toEqual([]);
  expect(next(happen(cancelled, "a/m0", events.retried), 4, ["a/m0"])).toEqual([]);
  expect(next(cancelled, 4)).toEqual(["a/m1"]);
});

test("jobs that an earlier coordinator began come before those that wait, whatever the priority", () => {
  const low = happen(submit(NO_SWEEPS, sweepOf("low", 3)), "low/m2", events.started, events.scanned);
  const state = submit(low, sweepOf("high", 3, { priority: 5 }));
  expect(next(state, 2)).toEqual(["low/m2", "high/m0"]);
});

test("a higher priority starts first", () => {
  const state = submit(submit(NO_SWEEPS, sweepOf("low", 2)), sweepOf("high", 2, { priority: 1 }));
  expect(starts(state, 1)).toEqual(["high/m0", "high/m1", "low/m0", "low/m1"]);
});

describe("sweeps of one priority share the starts by weight", () => {
  test.each([1, 2, 3])("the small one is not behind the large one, with %i slots", (slots) => {
    const state = submit(submit(NO_SWEEPS, sweepOf("large", 200)), sweepOf("small", 20));
    const order = starts(state, slots);
    const until = order.findLastIndex((id) => id.startsWith("small/")) + 1;
    expect(count(order.slice(0, until), "large")).toBeGreaterThanOrEqual(18);
    expect(until).toBeLessThanOrEqual(42);
    expect(order).toHaveLength(220);
  });

  test("twice the weight, twice the starts", () => {
    const state = submit(submit(NO_SWEEPS, sweepOf("a", 90, { weight: 2 })), sweepOf("b", 90));
    const first = starts(state, 2).slice(0, 60);
    expect(count(first, "a") / count(first, "b")).toBeCloseTo(2, 0);
  });

  test("one that comes late has no claim to what it missed, and takes its turn at once", () => {
    let state = submit(NO_SWEEPS, sweepOf("old", 60));
    for (let k = 0; k < 30; k++) state = happen(state, `old/m${k}`, events.started, ...finish);
    const order = starts(submit(state, sweepOf("new", 30)), 1);
    expect(count(order.slice(0, 4), "new")).toBe(2);
    expect(count(order.slice(0, 20), "new")).toBe(10);
  });
});

test("never more than the limit, never more of a sweep than it may have, no job twice, and no place left free", () => {
  const sweep = fc.record({
    models: fc.integer({ min: 1, max: 6 }),
    maxParallel: fc.integer({ min: 1, max: 4 }),
    priority: fc.integer({ min: 0, max: 1 }),
    weight: fc.constantFrom(0.5, 1, 3),
    begun: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(sweep, { maxLength: 4 }), fc.integer({ min: 0, max: 8 }), (sweeps, limit) => {
      let state = NO_SWEEPS;
      const running: string[] = [];
      for (const [k, { models, begun, ...more }] of sweeps.entries()) {
        state = submit(state, sweepOf(`s${k}`, models, more));
        for (let job = 0; job < Math.min(begun, models, more.maxParallel); job++) {
          state = happen(state, `s${k}/m${job}`, events.started);
          if (job % 2 === 0 && running.length < limit) running.push(`s${k}/m${job}`);
        }
      }
      const chosen = next(state, limit, running);
      const all = [...running, ...chosen];
      expect(new Set(all).size).toBe(all.length);
      expect(all.length).toBeLessThanOrEqual(limit);
      for (const [k, { maxParallel }] of sweeps.entries())
        expect(count(all, `s${k}`)).toBeLessThanOrEqual(maxParallel);
      const couldStart = sweeps.some(
        ({ models, maxParallel }, k) => count(all, `s${k}`) < Math.min(models, maxParallel),
      );
      if (all.length < limit) expect(couldStart).toBe(false);
    }),
  );
});
