import { join } from "node:path";
import { expect, test } from "vitest";
import { SweepBook, SweepExistsError, SweepNotOverError } from "../../../coordinator/sweep/book.ts";
import { searchStateAfter } from "../../../coordinator/sweep/committed-step.ts";
import { IllegalRecordError } from "../../../coordinator/sweep/fold.ts";
import type { SweepRecord } from "../../../coordinator/sweep/records.ts";
import { findJob, findSweep } from "../../../coordinator/sweep/sweep.ts";
import { LogLostError } from "../../../coordinator/sweep/sweep-log.ts";
import { jobRows, sweepRow } from "../../../coordinator/sweep/views.ts";
import { cpuSeconds } from "../../support/cpu-seconds.ts";
import { FileLog, MemoryLog } from "../../support/sweep-logs.ts";
import { events, resultOf, stepOf, sweepOf } from "../../support/sweeps.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const id = (job = "m0", sweep = "friday") => ({ sweep, job });
const open = (log: MemoryLog | FileLog, more = {}) => SweepBook.open(log, { now: () => 7_000, ...more });
/** The state of a search after so many steps. */
const state = (steps: number, search = 0) =>
  searchStateAfter(Array.from({ length: steps }, (_, k) => stepOf(k + 1, search)));

/** A log whose appends wait until they are let through. */
function gatedLog() {
  const log = new MemoryLog();
  const gates: (() => void)[] = [];
  log.before = () => new Promise<void>((open) => gates.push(open));
  const pass = async (): Promise<void> => {
    while (gates.length === 0) await new Promise(setImmediate);
    gates.shift()!();
    await new Promise(setImmediate);
  };
  return { log, pass };
}

test("a change is seen when it is durable, not before", async () => {
  const { log, pass } = gatedLog();
  const book = await open(log);
  const seen: SweepRecord["kind"][] = [];
  book.subscribe((records) => seen.push(...records.map(({ kind }) => kind)));
  const submitted = book.submit(sweepOf("friday", 2));
  expect(book.state.sweeps).toEqual([]);
  // Decided on what was decided before, though nobody can see that yet.
  const started = book.move(id(), events.started);
  await expect(book.move(id(), events.evaluated)).rejects.toThrow(IllegalRecordError);
  await pass();
  await Promise.all([submitted, started]);
  expect(findJob(book.state, id())!.state.phase).toBe("scanning");
  expect(seen).toEqual(["sweep-submitted", "job-moved"]);
});

test("a sweep that is over is removed, and the log is that much shorter at once; one that is not is refused", async () => {
  const log = new MemoryLog();
  const book = await open(log);
  await book.submit(sweepOf("friday", 2));
  await book.submit(sweepOf("monday", 1));
  await book.move(id(), events.failed);
  expect(() => book.remove("friday")).toThrow(
    new SweepNotOverError(
      "sweep 'friday' is not over, 1 of its 2 jobs is queued or worked on: cancel it first",
    ),
  );
  expect(() => book.remove("tuesday")).toThrow("there is no sweep 'tuesday'");
  await book.cancel("friday");
  await book.remove("friday");
  await expect.poll(() => log.snapshots.at(-1)?.upTo).toBe(log.records.length);
  expect(log.snapshots.at(-1)!.text).not.toContain("friday");
  const again = await open(log);
  expect(again.state.sweeps.map(({ spec }) => spec.name)).toEqual(["monday"]);
  expect(await again.submit(sweepOf("friday", 1))).toBe(true);
});

test("changes that come at a time are one append, and those that come while it is written are the next one", async () => {
  const { log, pass } = gatedLog();
  const book = await open(log);
  const first = [book.submit(sweepOf("friday", 40)), book.move(id(), events.started)];
  await Promise.resolve();
  await Promise.resolve();
  const second = Array.from({ length: 39 }, (_, k) => book.move(id(`m${k + 1}`), events.started));
  await pass();
  await Promise.all(first);
  expect(findSweep(book.state, "friday")!.jobs.filter((job) => job.state.phase === "scanning")).toHaveLength(
    1,
  );
  await pass();
  await Promise.all(second);
  expect(log.appends).toBe(2);
  expect(log.records).toHaveLength(41);
});

test("a book that is opened again has everything that was durable, with a snapshot and without", async () => {
  for (const snapshotEvery of [1, 3, 1_000]) {
    const log = new MemoryLog();
    const book = await open(log, { snapshotEvery });
    await book.submit(sweepOf("friday", 3));
    await book.move(id(), events.started);
    for (const step of [1, 2, 3]) await book.commitStep(id(), 0, state(step), { results: "c".repeat(64) });
    await book.commitResult(id(), resultOf(0));
    await book.commitStep(id(), 1, state(1, 1));
    await book.move(id("m1"), events.failed);
    expect(log.snapshots.length > 0).toBe(snapshotEvery < 1_000);
    const again = await open(log);
    expect(again.state).toEqual(book.state);
    expect(findJob(again.state, id())!.searches.map(({ steps }) => steps.length)).toEqual([3, 1]);
  }
});

test("the same sweep may be submitted again, another one of its name may not", async () => {
  const log = new MemoryLog();
  const book = await open(log);
  await Promise.all([book.submit(sweepOf("friday", 2)), book.submit(sweepOf("friday", 2))]);
  expect(log.records).toHaveLength(1);
  await expect(book.submit(sweepOf("friday", 3))).rejects.toThrow(SweepExistsError);
});

test("a sweep is cancelled and retried as a whole, without the jobs that are over", async () => {
  const book = await open(new MemoryLog());
  await book.submit(sweepOf("friday", 4));
  for (const event of [events.started, events.scanned, events.unlearned, events.evaluated])
    await book.move(id("m3"), event);
  await book.move(id("m2"), events.failed);
  const phases = () => findSweep(book.state, "friday")!.jobs.map((job) => job.state.phase);
  expect(await book.cancel("friday")).toBe(2);
  expect(phases()).toEqual(["cancelled", "cancelled", "failed", "done"]);
  expect(await book.cancel("friday")).toBe(0);
  expect(await book.retry("friday", { fresh: false })).toBe(3);
  expect(phases()).toEqual(["queued", "queued", "queued", "done"]);
  await expect(book.cancel("monday")).rejects.toThrow("there is no sweep 'monday'");
});

test("where the log fails, everything that waits and comes later is refused, and nothing of it is seen", async () => {
  for (const when of ["before", "after"] as const) {
    const log = new MemoryLog();
    const book = await open(log);
    await book.submit(sweepOf("friday", 2));
    log[when] = () => {
      throw new Error("the disk is gone");
    };
    await expect(book.move(id(), events.started)).rejects.toThrow(LogLostError);
    await expect(book.move(id("m1"), events.started)).rejects.toThrow("the disk is gone");
    expect(findJob(book.state, id())!.state.phase).toBe("queued");
    log[when] = () => undefined;
    // A failed write may have been written all the same: a new book says what is there.
    expect(findJob((await open(log)).state, id())!.state.phase).toBe(
      when === "before" ? "queued" : "scanning",
    );
  }
});

test("a full disk is waited for, and nothing is lost by it", async () => {
  const log = new MemoryLog();
  let pauses = 0;
  const waits: (string | undefined)[] = [];
  const book: SweepBook = await open(log, {
    pause: async () => {
      pauses++;
      waits.push(book.waiting);
    },
  });
  log.before = (append) => {
    if (append < 4) throw Object.assign(new Error("sweeps.db: no room"), { name: "StoreFullError" });
  };
  await book.submit(sweepOf("friday", 2));
  expect(pauses).toBe(3);
  expect([waits[0], book.waiting]).toEqual(["sweeps.db: no room", undefined]);
  expect(log.records).toHaveLength(1);
});

test("a log that holds something else is refused with the place of the record", async () => {
  const log = new MemoryLog();
  await log.append([
    { kind: "sweep-submitted", at: 0, spec: sweepOf("friday", 1) },
    { kind: "sweep-painted" },
  ]);
  await expect(open(log)).rejects.toThrow("record 2 of the sweeps' log cannot be read");
  log.records.splice(1, 1, JSON.stringify({ kind: "job-moved", at: 0, ...id(), event: events.retried }));
  await expect(open(log)).rejects.toThrow(
    "record 2 of the sweeps' log cannot be read: job friday/m0 is queued",
  );
});

test("a thousand jobs are submitted in 10 s of processor time and listed in 1 s, one by one or together, in memory and in a file", async () => {
  const file = new FileLog(join(tempFolder(), "sweeps.log"));
  for (const log of [new MemoryLog(), file]) {
    const book = await open(log);
    const submitting = await cpuSeconds(async () => {
      await book.submit(sweepOf("together", 1_000));
      for (let k = 0; k < 100; k++) await book.submit(sweepOf(`alone-${k}`, 1));
      await Promise.all(Array.from({ length: 200 }, (_, k) => book.submit(sweepOf(`at-once-${k}`, 1))));
    });
    const lengths: number[] = [];
    const listing = await cpuSeconds(() => {
      lengths.push(book.state.sweeps.map(sweepRow).length, book.state.sweeps.flatMap(jobRows).length);
    });
    expect(lengths).toEqual([301, 1_300]);
    expect(submitting).toBeLessThan(10);
    expect(listing).toBeLessThan(1);
    const again = await open(log);
    expect(again.state).toEqual(book.state);
  }
  file.close();
});

test("rows say how far a job is, by its best trigger so far", async () => {
  const book = await open(new MemoryLog());
  await book.submit(sweepOf("friday", 2));
  await book.move(id(), events.started);
  for (const step of [1, 2]) await book.commitStep(id(), 0, state(step));
  await book.commitStep(id(), 1, state(1, 1));
  await book.commitResult(id(), resultOf(0));
  await book.move(id("m1"), events.failed);
  expect(jobRows(findSweep(book.state, "friday")!)).toMatchObject([
    {
      name: "m0",
      phase: "scanning",
      steps: 3,
      searchesDone: 1,
      best: { ids: [2, 8, 11, 14, 17], loss: 0.5 },
    },
    { name: "m1", model: "/models/m1", phase: "failed", reason: "no worker fits", steps: 0, best: null },
  ]);
  expect(book.state.sweeps.map(sweepRow)).toMatchObject([
    { name: "friday", jobs: 2, submittedAt: 7_000, phases: { queued: 0, scanning: 1, failed: 1 } },
  ]);
});
