import { expect, test } from "vitest";
import type { SweepBook } from "../../../coordinator/sweep/book.ts";
import type { OpenJob } from "../../../coordinator/sweep/job-work.ts";
import { findJob, type JobId } from "../../../coordinator/sweep/sweep.ts";
import { LogLostError } from "../../../coordinator/sweep/sweep-log.ts";
import { MemoryLog } from "../../support/sweep-logs.ts";
import { sweepOf } from "../../support/sweeps.ts";
import { id, jobs, phases, start, workOf } from "./runner-scene.ts";

/** Digests of what each step found, by job, search and step, out of the log's records. */
const resultsIn = ({ records }: MemoryLog) =>
  new Map(
    records.flatMap((text): [string, string][] => {
      const record = JSON.parse(text);
      return record.kind === "step-committed"
        ? [[`${record.job} ${record.search} ${record.step.step}`, record.results]]
        : [];
    }),
  );

test("every job of every sweep goes from queued to done, never more at a time than there is room for", async () => {
  let [open, most] = [0, 0];
  const counting: OpenJob = async (job, signal) => {
    most = Math.max(most, ++open);
    const work = await workOf()(job, signal);
    return { ...work, close: async () => void open-- };
  };
  const { book, runner } = await start(new MemoryLog(), counting, 3);
  await Promise.all([
    book.submit(sweepOf("friday", 4, { maxParallel: 2 })),
    book.submit(sweepOf("saturday", 3)),
  ]);
  await runner.idle();
  expect([...phases(book, "friday"), ...phases(book, "saturday")]).toEqual(Array(7).fill("done"));
  expect(most).toBe(3);
  expect(open).toBe(0);
  const [state] = jobs(book, "friday").map((job) => job.state);
  expect(state).toMatchObject({
    report: { triggers: [expect.stringMatching(/^\d+-\d+$/), expect.any(String)] },
  });
});

test("a job that fails fails alone, with its reason, and a retry begins where it was", async () => {
  const steps: string[] = [];
  let isBroken = true;
  const onStep = ({ job }: JobId, search: number, step: number): void => {
    if (isBroken && job === "m1" && search === 0 && step === 3)
      throw new Error("no worker has memory for it");
  };
  const { book, runner } = await start(new MemoryLog(), workOf({ onStep, steps }));
  await book.submit(sweepOf("friday", 3));
  await runner.idle();
  expect(phases(book, "friday")).toEqual(["done", "failed", "done"]);
  expect(findJob(book.state, id("m1"))!.state).toMatchObject({ reason: "no worker has memory for it" });
  const before = steps.filter((each) => each.startsWith("m1 0"));
  isBroken = false;
  expect(await book.retry("friday", { fresh: false })).toBe(1);
  await runner.idle();
  expect(phases(book, "friday")).toEqual(["done", "done", "done"]);
  expect([...before, ...steps.filter((each) => each.startsWith("m1 0")).slice(before.length)]).toEqual([
    "m1 0 1",
    "m1 0 2",
    "m1 0 3",
    "m1 0 3",
  ]);
});

test("a job is opened with the class of device that its steps were computed by, and none of another follows", async () => {
  const opened: (string | undefined)[] = [];
  const classes = ["cuda", "cuda", "cpu", "cpu"];
  const open: OpenJob = async (job, signal) => {
    const deviceClass = classes[opened.length];
    opened.push(job.deviceClass);
    const onStep = (_: JobId, search: number, step: number): void => {
      if (opened.length === 1 && search + step === 3) throw new Error("out of memory");
    };
    return { ...(await workOf({ onStep })(job, signal)), deviceClass };
  };
  const { book, runner } = await start(new MemoryLog(), open);
  await book.submit(sweepOf("friday", 1, { options: { searchesInFlight: 1 } }));
  const ended = async () => {
    await runner.idle();
    return findJob(book.state, id("m0"))!.state;
  };
  expect(await ended()).toMatchObject({ reason: "out of memory" });
  await book.retry("friday", { fresh: false });
  expect((await ended()).phase).toBe("done");
  expect(opened).toEqual([undefined, "cuda"]);
  await book.submit({ ...sweepOf("saturday", 1), options: {} });
  await runner.idle();
  expect(opened).toEqual([undefined, "cuda", undefined]);
  expect(findJob(book.state, { sweep: "saturday", job: "m0" })!.deviceClass).toBe("cpu");
});

test("a checkpoint that cannot be opened fails its job", async () => {
  const onOpen = ({ job }: JobId): void => {
    if (job === "m0") throw new Error("/models/m0: no such folder");
  };
  const { book, runner } = await start(new MemoryLog(), workOf({ onOpen }));
  await book.submit(sweepOf("friday", 2));
  await runner.idle();
  expect(jobs(book, "friday").map(({ state }) => state)).toMatchObject([
    { phase: "failed", reason: "/models/m0: no such folder" },
    { phase: "done" },
  ]);
});

test("a cancelled sweep ends at once, what is running too, and its places go to others", async () => {
  const reached: (() => void)[] = [];
  const running = new Promise<void>((resolve) => reached.push(resolve));
  const onStep = async ({ sweep, job }: JobId, search: number, step: number): Promise<void> => {
    if (sweep !== "friday" || job !== "m0" || search !== 0 || step !== 2) return;
    reached[0]!();
    await new Promise((resolve) => setTimeout(resolve, 30));
  };
  const { book, runner } = await start(new MemoryLog(), workOf({ onStep }), 1);
  await book.submit(sweepOf("friday", 3));
  await running;
  await book.submit(sweepOf("saturday", 1));
  expect(await book.cancel("friday")).toBe(3);
  await runner.idle();
  expect([...phases(book, "friday"), ...phases(book, "saturday")]).toEqual([
    ...Array(3).fill("cancelled"),
    "done",
  ]);
  expect(findJob(book.state, id("m0"))!.searches[0]!.steps.map(({ step }) => step)).toEqual([1]);
});

test("a job that is cancelled while its start is being decided is not started again and again", async () => {
  const log = new MemoryLog();
  const { book, runner } = await start(log);
  let cancelled: Promise<number> | undefined;
  log.before = async (append) => {
    // Asked for while the submission is being written, and written some time after it is to be seen.
    if (append === 1) cancelled = book.cancel("friday");
    else await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await book.submit(sweepOf("friday", 2));
  expect(await cancelled).toBe(2);
  await runner.idle();
  expect(phases(book, "friday")).toEqual(["cancelled", "cancelled"]);
});

test("a job that is cancelled and retried in one go is done, whatever its own work is told meanwhile", async () => {
  const log = new MemoryLog();
  let asked: Promise<unknown> | undefined;
  let book: SweepBook | undefined;
  const onStep = (_: JobId, search: number, step: number): void => {
    if (search + step !== 2 || asked !== undefined) return;
    // Decided, and not to be seen when the step is refused for it.
    asked = Promise.all([book!.cancel("friday"), book!.retry("friday", { fresh: false })]);
  };
  const started = await start(log, workOf({ onStep }), 1);
  ({ book } = started);
  await book.submit(sweepOf("friday", 1, { options: { searchesInFlight: 1 } }));
  await started.runner.idle();
  await asked;
  expect(jobs(book, "friday")).toMatchObject([{ state: { phase: "done" }, attempt: 2 }]);
});

test("a runner that is closed leaves the jobs where they are, and another one goes on", async () => {
  const log = new MemoryLog();
  let reached!: () => void;
  const running = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const first = await start(
    log,
    workOf({ onStep: (_, search, step) => void (search + step === 2 && reached()) }),
  );
  await first.book.submit(sweepOf("friday", 2));
  await running;
  await first.runner.close();
  expect(phases(first.book, "friday")).not.toContain("failed");
  const second = await start(log);
  await second.runner.idle();
  expect(phases(second.book, "friday")).toEqual(["done", "done"]);
});

/** Numbers in [0, 1) that follow from a seed. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test("killed at random appends, before the write or after it, and started again: every step and every result is that of the calm run", async () => {
  const sweep = sweepOf("friday", 4, { maxParallel: 3 });
  const calmLog = new MemoryLog();
  const calm = await start(calmLog);
  await calm.book.submit(sweep);
  await calm.runner.idle();
  const known = resultsIn(calmLog);
  expect(known.size).toBe(4 * 2 * 3);

  let kills = { before: 0, after: 0 };
  let again = 0;
  for (let seed = 1; seed <= 4; seed++) {
    const random = numbers(seed);
    const log = new MemoryLog();
    const committed: string[] = [];
    for (let lives = 0; ; lives++) {
      expect(lives).toBeLessThan(100);
      const fatal = log.appends + 2 + Math.floor(random() * 6);
      const when = random() < 0.5 ? "before" : "after";
      log.before = log.after = () => undefined;
      log[when] = (append) => {
        if (append !== fatal) return;
        kills = { ...kills, [when]: kills[when] + 1 };
        throw new Error("kill -9");
      };
      const { book, runner } = await start(log, workOf({ steps: committed }));
      try {
        await book.submit(sweep);
        await runner.idle();
        expect(jobs(book, "friday")).toEqual(jobs(calm.book, "friday"));
        break;
      } catch (error) {
        expect(error).toBeInstanceOf(LogLostError);
        await runner.close();
      }
    }
    expect(resultsIn(log)).toEqual(known);
    // No step is in the log twice, though some were made twice.
    const steps = log.records.filter((text) => text.includes('"step-committed"'));
    expect(steps).toHaveLength(known.size);
    again += committed.length - known.size;
    expect(new Set(committed)).toEqual(new Set(known.keys()));
  }
  expect(Math.min(kills.before, kills.after)).toBeGreaterThanOrEqual(5);
  expect(again).toBeGreaterThan(5);
});
