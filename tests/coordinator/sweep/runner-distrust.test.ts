import { expect, test } from "vitest";
import type { SweepBook } from "../../../coordinator/sweep/book.ts";
import type { OpenJob } from "../../../coordinator/sweep/job-work.ts";
import type { SweepRunner } from "../../../coordinator/sweep/runner.ts";
import { findJob, type JobId } from "../../../coordinator/sweep/sweep.ts";
import { MemoryLog } from "../../support/sweep-logs.ts";
import { sweepOf } from "../../support/sweeps.ts";
import { id, jobs, phases, start, workOf } from "./runner-scene.ts";

test("a job that is taken back goes on from the step it was taken back to, with the same result", async () => {
  const calm = await start(new MemoryLog());
  await calm.book.submit(sweepOf("friday", 1));
  await calm.runner.idle();

  const steps: string[] = [];
  let book: SweepBook | undefined;
  const taken = { kind: "taken-back" as const, reason: "worker w1 lied", searches: [{ search: 0, step: 1 }] };
  const onStep = async (job: JobId, search: number, step: number): Promise<void> => {
    // The second search is at work when the first one turns out to be wrong.
    if (search === 1 && step === 2 && !steps.includes("back")) {
      steps.push("back");
      await book!.move(job, taken);
    }
  };
  const started = await start(new MemoryLog(), workOf({ onStep, steps }), 1);
  ({ book } = started);
  await book.submit(sweepOf("friday", 1, { options: { searchesInFlight: 1 } }));
  await started.runner.idle();
  expect(jobs(book, "friday")).toEqual(jobs(calm.book, "friday"));
  const after = steps.slice(steps.indexOf("back") + 1).filter((each) => each.startsWith("m0 0"));
  expect(after).toEqual(["m0 0 2", "m0 0 3"]);
});

/** Who computed what, as the test says it: the workers of each step of search 0. */
function provenanceOf(unchecked: (given: number) => readonly string[]) {
  return {
    given: 0,
    uncheckedSince: (given: number) => ({
      workers: unchecked(given),
      isChecking: false,
      cleared: async () => [] as string[],
    }),
    settled: async () => undefined,
  };
}

test.each(["in the run in which it lied", "after a restart"])(
  "jobs that rest on results of a worker that is expelled %s go back to before them, and end as they would have",
  async (when) => {
    const calm = await start(new MemoryLog());
    await calm.book.submit(sweepOf("friday", 2, { options: { searchesInFlight: 1 } }));
    await calm.runner.idle();

    const log = new MemoryLog();
    const steps: string[] = [];
    let liedAbout = "";
    let runner: SweepRunner | undefined;
    let isFirstRun = true;
    let restart: (() => void) | undefined;
    const restarted = new Promise<void>((resolve) => {
      restart = resolve;
    });
    const onStep = async ({ job }: JobId, search: number, step: number): Promise<void> => {
      liedAbout = isFirstRun && job === "m0" && search === 0 && step === 2 ? "liar" : "";
      if (!isFirstRun || job !== "m0" || search !== 1 || step !== 2) return;
      isFirstRun = false;
      if (when === "after a restart") restart!();
      else {
        steps.push("expelled");
        void runner!.expel("liar", "it lied");
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const open: OpenJob = async (job, signal) => ({
      ...(await workOf({ onStep, steps })(job, signal)),
      provenance: provenanceOf(() => (job.job === "m0" && liedAbout !== "" ? [liedAbout] : ["w1"])),
    });
    const first = await start(log, open, 1);
    let { book } = first;
    ({ runner } = first);
    await book.submit(sweepOf("friday", 2, { options: { searchesInFlight: 1 } }));
    if (when === "after a restart") {
      await restarted;
      await runner.close();
      const second = await start(log, open, 1);
      ({ book, runner } = second);
      steps.push("expelled");
      await runner.expel("liar", "it lied");
    }
    await runner.idle();
    expect(jobs(book, "friday").map(({ state }) => state)).toEqual(
      jobs(calm.book, "friday").map(({ state }) => state),
    );
    const after = steps.slice(steps.indexOf("expelled") + 1).filter((each) => each.startsWith("m0 0"));
    expect(after).toEqual(["m0 0 2", "m0 0 3"]);
    expect(log.records.filter((text) => text.includes('"worker-expelled"'))).toHaveLength(1);
  },
);

test.each(["a restart", "a cancellation"])(
  "after %s a job goes back to before the first step whose results were being checked, and not further",
  async (interruption) => {
    const log = new MemoryLog();
    const steps: string[] = [];
    let isFirstRun = true;
    let reached: (() => void) | undefined;
    const interrupted = new Promise<void>((resolve) => (reached = resolve));
    const onStep = async (_: JobId, search: number, step: number): Promise<void> => {
      if (!isFirstRun || search !== 1 || step !== 2) return;
      isFirstRun = false;
      steps.push("interrupted");
      reached!();
      await new Promise((resolve) => setTimeout(resolve, 20));
    };
    let at = 0;
    const open: OpenJob = async (job, signal) => ({
      ...(await workOf({
        steps,
        onStep: (id, search, step) => {
          at = search * 10 + step;
          return onStep(id, search, step);
        },
      })(job, signal)),
      provenance: {
        ...provenanceOf(() => ["w1"]),
        // The checks of step 2 of search 0 have no end; those of others are over at once, and say nothing of w1.
        uncheckedSince: () => ({
          workers: ["w1"],
          isChecking: isFirstRun,
          cleared: () => (at === 2 ? new Promise<undefined>(() => {}) : Promise.resolve([])),
        }),
      },
    });
    const first = await start(log, open, 1);
    let { book, runner } = first;
    await book.submit(sweepOf("friday", 1, { options: { searchesInFlight: 1 } }));
    await interrupted;
    if (interruption === "a restart") {
      await runner.close();
      ({ book, runner } = await start(log, open, 1));
    } else {
      await book.cancel("friday");
      await book.retry("friday", { fresh: false });
    }
    await runner.idle();
    expect(phases(book, "friday")).toEqual(["done"]);
    const after = steps.slice(steps.indexOf("interrupted") + 1).filter((each) => each.startsWith("m0 0"));
    expect(after).toEqual(["m0 0 2", "m0 0 3"]);
    expect(findJob(book.state, id("m0"))).not.toHaveProperty("checking");
  },
);

test("a job is not done before what it was given is checked", async () => {
  let settle = () => {};
  const checked = new Promise<undefined>((resolve) => {
    settle = () => resolve(undefined);
  });
  const open: OpenJob = async (job, signal) => ({
    ...(await workOf()(job, signal)),
    provenance: { ...provenanceOf(() => []), settled: () => checked },
  });
  const { book, runner } = await start(new MemoryLog(), open);
  await book.submit(sweepOf("friday", 1));
  const evaluating = () => phases(book, "friday")[0] === "evaluating";
  while (!evaluating()) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(evaluating()).toBe(true);
  settle();
  await runner.idle();
  expect(phases(book, "friday")).toEqual(["done"]);
});
