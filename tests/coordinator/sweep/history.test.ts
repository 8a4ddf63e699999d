import { expect, test } from "vitest";
import { SweepBook } from "../../../coordinator/sweep/book.ts";
import { searchStateAfter } from "../../../coordinator/sweep/committed-step.ts";
import { JobHistory } from "../../../coordinator/sweep/history.ts";
import { MemoryLog } from "../../support/sweep-logs.ts";
import { events, resultOf, stepOf, sweepOf } from "../../support/sweeps.ts";

test("a job's history has what happened to it in order, and of the steps of a search the latest", async () => {
  let now = 0;
  const book = await SweepBook.open(new MemoryLog(), { now: () => 0 });
  const history = new JobHistory(book, () => ++now);
  await book.submit(sweepOf("friday", 2));
  const id = { sweep: "friday", job: "m0" };
  await book.move(id, events.started);
  for (const step of [1, 2, 3]) await book.commitStep(id, 0, searchStateAfter([stepOf(step)]));
  await book.commitStep(id, 1, searchStateAfter([stepOf(1, 1)]));
  await book.commitResult(id, resultOf(0));
  await book.move(id, events.failed);
  expect(history.of(id).map(({ text }) => text)).toEqual([
    "started",
    "search 0: step 3 committed, best loss 0.3333",
    "search 1: step 1 committed, best loss 1.0000",
    "search 0: result after 3 steps",
    "failed: no worker fits",
  ]);
  expect(history.of({ sweep: "friday", job: "m1" })).toEqual([]);
  for (let retry = 0; retry < 40; retry++) {
    await book.retry("friday", { fresh: false });
    await book.cancel("friday");
  }
  expect(history.of(id)).toHaveLength(30);
});
