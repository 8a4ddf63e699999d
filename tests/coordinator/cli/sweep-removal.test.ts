import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { SweepRemoval } from "../../../coordinator/cli/sweep-removal.ts";
import { SweepBook, SweepNotOverError } from "../../../coordinator/sweep/book.ts";
import { findSweep } from "../../../coordinator/sweep/sweep.ts";
import { MemoryLog } from "../../support/sweep-logs.ts";
import { events, sweepOf } from "../../support/sweeps.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** A sweep whose only job failed, and its results. */
async function overSweep(log = new MemoryLog(), results = tempFolder()) {
  const book = await SweepBook.open(log, { now: () => 0 });
  if (findSweep(book.state, "friday") === undefined) {
    await book.submit(sweepOf("friday", 1));
    await book.move({ sweep: "friday", job: "m0" }, events.failed);
    mkdirSync(join(results, "friday", "m0"), { recursive: true });
    writeFileSync(join(results, "friday", "m0", "report.json"), "{}");
  }
  const open = (letGoOf = async () => {}) =>
    SweepRemoval.open({ book, results, letGoOf, onRemoved: () => {} });
  const isThere = () => existsSync(join(results, "friday", "m0", "report.json"));
  return { log, book, results, open, isThere };
}

test("a sweep goes with its results, or leaves them where it says", async () => {
  const gone = await overSweep();
  expect(await (await gone.open()).remove("friday", { keepResults: false })).toBe("");
  expect([gone.isThere(), existsSync(join(gone.results, ".removed"))]).toEqual([false, false]);
  const kept = await overSweep();
  expect(await (await kept.open()).remove("friday", { keepResults: true })).toBe(
    join(kept.results, "friday"),
  );
  expect([kept.isThere(), findSweep(kept.book.state, "friday")]).toEqual([true, undefined]);
});

test("one that is not over stays whole, and nobody begins one of a name that is going", async () => {
  const { book, open, isThere } = await overSweep();
  const retried = await open();
  await book.retry("friday", { fresh: false });
  await expect(retried.remove("friday", { keepResults: false })).rejects.toThrow(SweepNotOverError);
  await book.cancel("friday");
  let go = (): void => {};
  const removal = await open(() => new Promise<void>((resolve) => (go = resolve)));
  const removed = removal.remove("friday", { keepResults: false });
  expect(() => removal.requireStays("friday")).toThrow("sweep 'friday' is being removed");
  await new Promise(setImmediate);
  expect(isThere()).toBe(true);
  go();
  await removed;
  removal.requireStays("friday");
  expect(isThere()).toBe(false);
});

test("what a coordinator left that ended in between is put back or removed by the next one, as the log says", async () => {
  const first = await overSweep();
  const aside = () => {
    mkdirSync(join(first.results, ".removed"));
    renameSync(join(first.results, "friday"), join(first.results, ".removed", "friday"));
  };
  aside();
  await first.open();
  expect(first.isThere()).toBe(true);
  aside();
  await first.book.remove("friday");
  await first.open();
  expect(existsSync(join(first.results, ".removed"))).toBe(false);
  expect(first.isThere()).toBe(false);
});
