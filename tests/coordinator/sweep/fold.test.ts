import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fold, IllegalRecordError } from "../../../coordinator/sweep/fold.ts";
import type { JobEvent } from "../../../coordinator/sweep/job-state.ts";
import { SweepRecord } from "../../../coordinator/sweep/records.ts";
import { findJob, findSweep, NO_SWEEPS, SweepsState } from "../../../coordinator/sweep/sweep.ts";
import { events, resultOf, stepOf, sweepOf } from "../../support/sweeps.ts";

const submitted = (name: string, models = 2, more = {}): SweepRecord => ({
  kind: "sweep-submitted",
  at: 1_000,
  spec: sweepOf(name, models, more),
});
const movedBy = (event: JobEvent, job = "m0", sweep = "friday"): SweepRecord => ({
  kind: "job-moved",
  at: 2_000,
  sweep,
  job,
  event,
});
const step = (number: number, search = 0, job = "m0"): SweepRecord => ({
  kind: "step-committed",
  sweep: "friday",
  job,
  search,
  step: stepOf(number, search),
});
const found = (search = 0): SweepRecord => ({
  kind: "search-found",
  sweep: "friday",
  job: "m0",
  result: resultOf(search),
});
const all = (...records: SweepRecord[]): SweepsState => records.reduce(fold, NO_SWEEPS);
const job = (...records: SweepRecord[]) => findJob(all(...records), { sweep: "friday", job: "m0" })!;
const scanning = [submitted("friday"), movedBy(events.started)];

test("a submitted sweep has a queued job for each model", () => {
  const { jobs, submittedAt } = findSweep(all(submitted("friday", 3)), "friday")!;
  expect(jobs.map(({ name, state, attempt }) => [name, state.phase, attempt])).toEqual([
    ["m0", "queued", 1],
    ["m1", "queued", 1],
    ["m2", "queued", 1],
  ]);
  expect(submittedAt).toBe(1_000);
});

test("steps are kept by search until the job is done, and a retry goes on from them unless it is fresh", () => {
  const scanned = [...scanning, step(1), step(1, 1), step(2), found()];
  const steps = (...records: SweepRecord[]) =>
    job(...scanned, ...records).searches.map(({ search, steps, result }) => [
      search,
      steps.map((each) => each.step),
      result !== null,
    ]);
  const kept = [
    [0, [1, 2], true],
    [1, [1], false],
  ];
  expect(steps()).toEqual(kept);
  expect(steps(movedBy(events.failed), movedBy(events.retried))).toEqual(kept);
  expect(steps(movedBy(events.failed), movedBy({ kind: "retried", fresh: true }))).toEqual([]);
  const rest = [events.scanned, events.unlearned, events.evaluated].map((event) => movedBy(event));
  expect(steps(...rest)).toEqual([]);
  expect(job(...scanned, movedBy(events.failed), movedBy(events.retried)).attempt).toBe(2);
});

test("a search that is taken back has the steps before it alone, and no result", () => {
  const back = (step: number) =>
    movedBy({ kind: "taken-back", reason: "worker w1 lied", searches: [{ search: 0, step }] });
  const taken = (step_: number) =>
    job(...scanning, step(1), step(2), step(3), found(), movedBy(events.scanned), back(step_));
  expect(taken(2).state).toEqual({ phase: "scanning" });
  expect(taken(2).searches).toMatchObject([{ search: 0, steps: [{ step: 1 }, { step: 2 }], result: null }]);
  expect(taken(0).searches).toEqual([]);
});

test("steps of one job are of one class of device, unless it begins afresh", () => {
  const on = (number: number, deviceClass: string): SweepRecord =>
    ({ ...step(number), deviceClass }) as SweepRecord;
  const begun = [...scanning, on(1, "cuda")];
  expect(job(...begun, step(2), on(3, "cuda")).deviceClass).toBe("cuda");
  expect(() => all(...begun, on(2, "cpu"))).toThrow(
    "job friday/m0 was begun on cuda: a step on cpu cannot follow",
  );
  const retried = (fresh: boolean) => [
    ...begun,
    movedBy(events.failed),
    movedBy({ kind: "retried", fresh }),
    movedBy(events.started),
  ];
  expect(() => all(...retried(false), on(2, "cpu"))).toThrow("was begun on cuda");
  expect(job(...retried(true), on(1, "cpu")).deviceClass).toBe("cpu");
});

test("a measured tile is the job's, once, until it begins afresh", () => {
  const measured = { tile: 6_000, timed: [{ tokens: 6_000, seconds: 0.5 }] };
  const tile: SweepRecord = { kind: "tile-measured", sweep: "friday", job: "m0", tile: measured };
  expect(job(...scanning, tile, step(1), movedBy(events.scanned)).tile).toEqual(measured);
  expect(() => all(...scanning, tile, tile)).toThrow("job friday/m0 has measured its tile already");
  expect(() => all(submitted("friday"), tile)).toThrow("job m0 is queued");
  const again = [...scanning, tile, movedBy(events.cancelled), movedBy({ kind: "retried", fresh: true })];
  expect(job(...again)).toEqual({ ...job(submitted("friday")), attempt: 2, movedAt: 2_000 });
});

describe("a record that cannot come next is refused", () => {
  test.each<[string, SweepRecord[], SweepRecord]>([
    ["there is a sweep 'friday' already", [submitted("friday")], submitted("friday")],
    ["there is no sweep 'friday'", [], movedBy(events.started)],
    ["sweep friday has no job 'm9'", [submitted("friday")], movedBy(events.started, "m9")],
    ["job friday/m0 is queued: it cannot be evaluated", [submitted("friday")], movedBy(events.evaluated)],
    ["job m0 is queued: nothing of its scan can be committed", [submitted("friday")], step(1)],
    ["search 0: step 2 was committed, step 1 is next", scanning, step(2)],
    ["search 0: step 1 was committed, step 2 is next", [...scanning, step(1)], step(1)],
    ["search 0: step 2 after its result", [...scanning, step(1), found()], step(2)],
  ])("%s", (message, before, record) => {
    const state = all(...before);
    expect(() => fold(state, record)).toThrow(IllegalRecordError);
    expect(() => fold(state, record)).toThrow(message);
  });

  test("a step of another search than the one that was begun", () => {
    const other: SweepRecord = { ...step(2), step: stepOf(2, 7) } as SweepRecord;
    expect(() => all(...scanning, step(1), other)).toThrow("is of another search");
  });
});

/** Records that mostly fit: those that do not are left out, as the book leaves them out. */
const record: fc.Arbitrary<SweepRecord> = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(...["friday", "other"].map((name) => submitted(name))) },
  {
    weight: 5,
    arbitrary: fc
      .tuple(
        fc.constantFrom(...Object.values(events), events.started, events.started, events.retried),
        fc.constantFrom("m0", "m1"),
        fc.constantFrom("friday", "other"),
      )
      .map(([event, job, sweep]) => movedBy(event, job, sweep)),
  },
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 1 }), fc.constantFrom("m0", "m1"))
      .map(([number, search, job]) => step(number, search, job)),
  },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 1 }).map(found) },
);

test("a snapshot of any moment and the records after it give the state of all records", () => {
  let steps = 0;
  fc.assert(
    fc.property(fc.array(record, { minLength: 20, maxLength: 60 }), fc.nat(), (candidates, cut) => {
      const legal: SweepRecord[] = [];
      let state = NO_SWEEPS;
      for (const each of [...scanning, ...candidates]) {
        try {
          state = fold(state, each);
          legal.push(each);
        } catch (error) {
          expect(error).toBeInstanceOf(IllegalRecordError);
        }
      }
      steps += legal.filter(({ kind }) => kind === "step-committed").length;
      const through = <T>(value: T): unknown => JSON.parse(JSON.stringify(value));
      const at = cut % (legal.length + 1);
      const snapshot = SweepsState.parse(through(legal.slice(0, at).reduce(fold, NO_SWEEPS)));
      const rest = legal.slice(at).map((each) => SweepRecord.parse(through(each)));
      expect(rest.reduce(fold, snapshot)).toEqual(state);
    }),
    { numRuns: 60, seed: 6 },
  );
  expect(steps).toBeGreaterThan(20);
});

test("a sweep that comes in, or comes back, is served beside those that run: neither before nor behind them", () => {
  const ran = [submitted("old", 5), ...[0, 1, 2].map((k) => movedBy(events.started, `m${k}`, "old"))];
  expect(findSweep(all(...ran, submitted("friday")), "friday")!.served).toBe(3);
  const heavy = [submitted("old", 5, { weight: 2 }), movedBy(events.started, "m0", "old")];
  expect(findSweep(all(...heavy, submitted("friday")), "friday")!.served).toBe(0.5);
  const idle = [submitted("friday", 1), movedBy(events.cancelled), ...ran, movedBy(events.retried)];
  expect(findSweep(all(...idle), "friday")!.served).toBe(3);
});
