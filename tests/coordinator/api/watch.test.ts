import { expect, test } from "vitest";
import { portions } from "../../../coordinator/api/portions.ts";
import { watchSweep } from "../../../coordinator/api/watch.ts";
import { SweepBook } from "../../../coordinator/sweep/book.ts";
import { searchStateAfter } from "../../../coordinator/sweep/committed-step.ts";
import type { SweepChangeMessage } from "../../../proto/sweep-messages.ts";
import { MemoryLog } from "../../support/sweep-logs.ts";
import { events, stepOf, sweepOf } from "../../support/sweeps.ts";

const opened = () => SweepBook.open(new MemoryLog(), { now: () => 0 });
const never = new AbortController().signal;

test("a watch gives every job once, then those that changed, and ends when none is left to be worked on", async () => {
  const book = await opened();
  await book.submit(sweepOf("friday", 2));
  await book.submit(sweepOf("monday", 1));
  const changes = watchSweep(book, { sweep: "friday", once: false }, never);
  const next = async () => (await changes.next()).value as SweepChangeMessage;
  expect((await next()).jobs.map(({ name, phase }) => [name, phase])).toEqual([
    ["m0", "queued"],
    ["m1", "queued"],
  ]);
  const id = { sweep: "friday", job: "m1" };
  const waiting = next();
  await book.move({ sweep: "monday", job: "m0" }, events.cancelled);
  await book.move(id, events.started);
  for (const step of [1, 2]) await book.commitStep(id, 0, searchStateAfter([stepOf(step)]));
  // However many changes came together, the job is told as it is.
  expect(await waiting).toMatchObject({
    sweep: { name: "friday", phases: { queued: 1, scanning: 1 } },
    jobs: [{ name: "m1", phase: "scanning", steps: 2, best: { loss: 0.5 } }],
    isCurrent: true,
  });
  const last = next();
  await book.cancel("friday");
  expect((await last).jobs.map(({ phase }) => phase)).toEqual(["cancelled", "cancelled"]);
  expect(await changes.next()).toEqual({ done: true, value: undefined });
});

test("a reader that is slow misses no job's last state, and one that goes away ends the watch", async () => {
  const book = await opened();
  await book.submit(sweepOf("friday", 3));
  const stop = new AbortController();
  const changes = watchSweep(book, { sweep: "friday", once: false }, stop.signal);
  await changes.next();
  const first = changes.next();
  await book.cancel("friday", { jobs: ["m0"] });
  await first;
  await book.cancel("friday", { jobs: ["m1"] });
  await book.retry("friday", { fresh: false, jobs: ["m0"] });
  expect(((await changes.next()).value as SweepChangeMessage).jobs.map(({ phase }) => phase)).toEqual([
    "queued",
    "cancelled",
  ]);
  const end = changes.next();
  stop.abort();
  expect((await end).done).toBe(true);
});

test("a snapshot alone is asked for with once, and a sweep that is not there is an error", async () => {
  const book = await opened();
  await book.submit(sweepOf("friday", 1));
  const once = [];
  for await (const change of watchSweep(book, { sweep: "friday", once: true }, never)) once.push(change);
  expect(once).toHaveLength(1);
  await expect(watchSweep(book, { sweep: "sunday", once: true }, never).next()).rejects.toThrow(
    "there is no sweep 'sunday'",
  );
});

test("what is large comes in portions of about a megabyte, in order, and nothing is one empty portion", async () => {
  const book = await opened();
  await book.submit(sweepOf("large", 20_000));
  const changes: SweepChangeMessage[] = [];
  for await (const change of watchSweep(book, { sweep: "large", once: true }, never)) changes.push(change);
  expect(changes.length).toBeGreaterThan(2);
  expect(changes.map(({ isCurrent }) => isCurrent)).toEqual(changes.map((_, k) => k === changes.length - 1));
  expect(changes.flatMap(({ jobs }) => jobs.map(({ name }) => name))).toEqual(
    Array.from({ length: 20_000 }, (_, k) => `m${k}`),
  );
  expect(portions([], () => 1)).toEqual([[]]);
  expect(portions([3, 1], () => 2 ** 21)).toEqual([[3], [1]]);
});
