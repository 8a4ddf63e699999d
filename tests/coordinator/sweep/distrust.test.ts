import { expect, test } from "vitest";
import { SweepBook } from "../../../coordinator/sweep/book.ts";
import { searchStateAfter } from "../../../coordinator/sweep/committed-step.ts";
import { withoutOpenChecks } from "../../../coordinator/sweep/distrust.ts";
import { IllegalRecordError } from "../../../coordinator/sweep/fold.ts";
import { findJob } from "../../../coordinator/sweep/sweep.ts";
import { jobRows } from "../../../coordinator/sweep/views.ts";
import { MemoryLog } from "../../support/sweep-logs.ts";
import { events, repair, resultOf, stepOf, sweepOf } from "../../support/sweeps.ts";

const id = (job = "m0") => ({ sweep: "friday", job });
const liar = { workerId: "w2", reason: "it lied" };
const nobody: ReadonlySet<string> = new Set();

/** A sweep of four jobs; `steps` commits steps of a job, each by its workers. */
async function begun(log = new MemoryLog()) {
  const open = () => SweepBook.open(log, { now: () => 7_000, snapshotEvery: 5 });
  const book = await open();
  await book.submit(sweepOf("friday", 4));
  const steps = async (job: string, search: number, ...unchecked: string[][]) => {
    if (findJob(book.state, id(job))!.state.phase === "queued") await book.move(id(job), events.started);
    for (const [k, workers] of unchecked.entries()) {
      const state = searchStateAfter(Array.from({ length: k + 1 }, (_, each) => stepOf(each + 1, search)));
      await book.commitStep(id(job), search, state, workers.length > 0 ? { unchecked: workers } : {});
    }
  };
  const left = (of: SweepBook, job = "m0") => {
    const { state, searches } = findJob(of.state, id(job))!;
    return [
      state.phase,
      ...searches.map(({ search, steps, result }) => [search, steps.length, result !== null]),
    ];
  };
  return { book, open, steps, left };
}

test("searches go back to the step before the first one that holds unchecked results, others begin with what they found", async () => {
  const { book, open, steps, left } = await begun();
  await steps("m0", 0, ["w1"], ["w1", "w2"], ["w2"]);
  await steps("m0", 1, ["w1"], ["w1"]);
  await book.commitResult(id(), resultOf(1, 2), { unchecked: ["w1"] });
  await steps("m1", 0, ["w1"], ["w1"]);
  await book.expel(liar, nobody);
  expect(left(book)).toEqual(["scanning", [0, 1, false], [1, 2, false]]);
  expect(left(book, "m1")).toEqual(["scanning", [0, 2, false]]);
  const again = await open();
  expect(again.state).toEqual(book.state);
  expect(again.state.expelled).toEqual([{ ...liar, at: 7_000 }]);
});

test("results that were checked and equal do not count", async () => {
  const { book, steps, left } = await begun();
  await steps("m0", 0, ["w2"], ["w1", "w2"], ["w2"]);
  await book.commitChecked(id(), { kind: "step", search: 0, step: 1 }, ["w2"]);
  await book.commitChecked(id(), { kind: "step", search: 0, step: 2 }, ["w1", "w2"]);
  expect(findJob(book.state, id())!.searches[0]!.unchecked).toEqual({ w2: [3] });
  await book.commitResult(id(), resultOf(0, 3), { unchecked: ["w1", "w2"] });
  await book.commitChecked(id(), { kind: "found", search: 0 }, ["w1"]);
  expect(findJob(book.state, id())!.unchecked).toEqual({ "what search 0 found": ["w2"] });
  await book.expel(liar, nobody);
  expect(left(book)).toEqual(["scanning", [0, 2, false]]);
});

test("a job goes back to before the first step with open checks, until the log hears that they are over", async () => {
  const { book, open, steps } = await begun();
  const job = (of = book) => findJob(of.state, id())!;
  await steps("m0", 0, ["w1"]);
  expect(withoutOpenChecks(job())).toBeUndefined();
  for (const count of [2, 3, 4]) {
    const state = searchStateAfter(Array.from({ length: count }, (_, k) => stepOf(k + 1)));
    await book.commitStep(id(), 0, state, { unchecked: ["w2"], checking: true });
  }
  await book.commitChecked(id(), { kind: "step", search: 0, step: 2 }, []);
  await book.commitResult(id(), resultOf(0, 4), { unchecked: ["w2"], checking: true });
  // Nothing that stays unchecked for good counts, and what does is in a snapshot, too.
  expect(job(await open())).toEqual(job());
  expect(job()).toMatchObject({
    checking: ["what search 0 found"],
    searches: [{ checking: [3, 4], unchecked: { w1: [1], w2: [2, 3, 4] } }],
  });
  const back = withoutOpenChecks(job())!;
  expect(back).toMatchObject({ kind: "taken-back", searches: [{ search: 0, step: 2 }] });
  await book.move(id(), back);
  expect(withoutOpenChecks(job())).toBeUndefined();
  expect(job().searches).toMatchObject([{ steps: [{ step: 1 }, { step: 2 }], result: null }]);
});

test("a repair that rests on them is made again, from searches that stay as they are", async () => {
  const { book, steps, left } = await begun();
  await steps("m0", 0, ["w1"], ["w1"]);
  await book.commitResult(id(), resultOf(0, 2));
  await book.move(id(), events.scanned);
  await book.move(id(), { kind: "unlearned", repair, unchecked: ["w2"] });
  await book.expel(liar, nobody);
  expect(left(book)).toEqual(["scanning", [0, 2, false]]);
  expect(findJob(book.state, id())!.unchecked).toBeUndefined();
});

test("a job that is done is doubted, and says so; one that rests on nothing of it is not", async () => {
  const { book, steps } = await begun();
  for (const [job, workers] of [
    ["m0", ["w2"]],
    ["m1", ["w1"]],
  ] as const) {
    await steps(job, 0, [...workers]);
    await book.commitResult(id(job), resultOf(0, 1));
    for (const event of [events.scanned, events.unlearned, events.evaluated]) await book.move(id(job), event);
  }
  await book.expel(liar, nobody);
  const rows = jobRows(book.state.sweeps[0]!);
  expect(rows.slice(0, 2).map(({ phase, reason }) => [phase, reason])).toEqual([
    ["done", "in doubt: worker w2 was expelled, since it lied"],
    ["done", ""],
  ]);
});

test("a failed job would go on with them when it is retried: it goes back, too, and stays failed", async () => {
  const { book, steps, left } = await begun();
  await steps("m0", 0, ["w1"], ["w2"]);
  await book.move(id(), events.failed);
  await book.expel(liar, nobody);
  expect(left(book)).toEqual(["failed", [0, 1, false]]);
  await book.retry("friday", { fresh: false });
  expect(left(book)).toEqual(["queued", [0, 1, false]]);
});

test("a job that works with them at the moment begins again at its last step, though none of them is committed", async () => {
  const { book, steps, left } = await begun();
  await steps("m0", 0, ["w1"], ["w1"]);
  await book.move(id("m1"), events.started);
  await book.expel(liar, new Set(["friday/m0", "friday/m1"]));
  expect(left(book)).toEqual(["scanning", [0, 2, false]]);
  expect(findJob(book.state, id())!.wasTakenBack).toBe(true);
  expect(left(book, "m1")).toEqual(["scanning"]);
});

test("nothing of an expelled worker is committed, and it is expelled once", async () => {
  const { book, steps, left } = await begun();
  await steps("m0", 0, ["w1"]);
  await book.expel(liar, nobody);
  await book.expel(liar, nobody);
  expect(book.state.expelled).toHaveLength(1);
  const second = searchStateAfter([stepOf(1), stepOf(2)]);
  await expect(book.commitStep(id(), 0, second, { unchecked: ["w1", "w2"] })).rejects.toThrow(
    IllegalRecordError,
  );
  await expect(book.commitResult(id(), resultOf(0), { unchecked: ["w2"] })).rejects.toThrow(
    "worker w2 was expelled",
  );
  expect(left(book)).toEqual(["scanning", [0, 1, false]]);
});
