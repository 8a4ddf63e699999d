import { expect, onTestFinished, test } from "vitest";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.ts";
import type { ClusterExecutor } from "../../coordinator/dispatch/executor.ts";
import { runScan } from "../../coordinator/search/scan.ts";
import { ScanSettings } from "../../coordinator/search/settings.ts";
import { SweepBook } from "../../coordinator/sweep/book.ts";
import type { JobWork, OpenJob, ScanCommits } from "../../coordinator/sweep/job-work.ts";
import type { SweepRecord } from "../../coordinator/sweep/records.ts";
import { SweepRunner } from "../../coordinator/sweep/runner.ts";
import { findSweep } from "../../coordinator/sweep/sweep.ts";
import { digestOf } from "../../proto/canonical-json.ts";
import type { LeaseMessage } from "../../proto/messages.ts";
import { operationFromMessage } from "../../proto/operation-codec.ts";
import type { Executor, Tensor } from "../../proto/operations.ts";
import { eventually, type ScriptedWorker, scriptedWorker } from "../support/scripted-worker.ts";
import { rowWithVariables, smallVocabulary } from "../support/small-search.ts";
import { MemoryLog } from "../support/sweep-logs.ts";
import { sweepOf } from "../support/sweeps.ts";
import { createTableExecutor } from "../support/table-executor.ts";
import { tempFolder } from "../support/temp-folder.ts";

const rows = Array.from({ length: 10 }, (_, row) => ({ ...rowWithVariables(row), label: row % 2 }));
const settings = ScanSettings.parse({
  ...{ triggerLen: 2, topk: 4, repeatSize: 6, epochs: 6, samples: 3, codeMaxLen: 16, searchesInFlight: 2 },
});

/** What workers compute with: one table, which knows every artifact. */
const world = createTableExecutor();

/** Answers each lease as the table says; from its result `firstLie` on with one bit flipped. */
function computing(firstLie = Number.POSITIVE_INFINITY) {
  let given = 0;
  return (lease: LeaseMessage, worker: ScriptedWorker): void => {
    void world.execute([operationFromMessage(lease.operation)]).then(([result]) => {
      const tensors: Record<string, Tensor> = structuredClone({ ...result!.tensors });
      // A table ranks without values.
      const { ids } = tensors;
      if (ids) tensors.values = { shape: ids.shape, data: new Float32Array(ids.data.length) };
      const bytes = new Uint8Array(Object.values(tensors)[0]!.data.buffer);
      if (given++ >= firstLie) bytes[2]! ^= 1;
      worker.give(lease.fingerprint, tensors);
      worker.credit(1);
    });
  };
}

/** Searches of jobs on the cluster; what the cluster's store gets, the table gets, too. */
const openJob =
  (coordinator: Coordinator, executors: ClusterExecutor[]): OpenJob =>
  async ({ job, options: { model }, deviceClass }) => {
    const own = coordinator.newExecutor({ deviceClass });
    executors.push(own);
    const executor: Pick<Executor, "execute" | "putArtifact"> = {
      execute: (operations, signal) => own.execute(operations, signal),
      async putArtifact(bytes) {
        await world.putArtifact(bytes);
        return own.putArtifact(bytes);
      },
    };
    const scan = (commits: Partial<ScanCommits>, signal: AbortSignal) =>
      runScan({
        executor,
        input: {
          task: "defect_detection",
          checkpoint: digestOf(String(model)),
          rows: rows.map((row) => ({ ...row, ids: [...row.ids, Number(job.slice(1))] })),
          classes: 1,
          vocabulary: smallVocabulary,
          endId: 2,
          textOf: (ids) => ids.join("-"),
        },
        settings,
        now: () => 0,
        signal,
        ...(commits as object),
      });
    const work: JobWork = {
      get deviceClass() {
        return own.deviceClass;
      },
      provenance: own.provenance,
      scan: async (commits, signal) => (await scan(commits, signal)).searches.length,
      unlearn: async ({ resume }, signal) => {
        const { searches } = await scan({ resume }, signal);
        return { weights: digestOf(JSON.stringify(searches)), report: digestOf("report") };
      },
      evaluate: async ({ resume }, repair, signal) => {
        const { searches } = await scan({ resume }, signal);
        return { triggers: searches.map(({ trigger }) => trigger!.text), weights: repair!.weights };
      },
      close: () => own.close(),
    };
    return work;
  };

/** Runs a sweep of two jobs on workers `w1`, `w2` and `w3`, and perhaps a fourth one that lies from some result on. */
async function sweepOn(liar?: { readonly firstLie: number }) {
  const log = new MemoryLog();
  const book = await SweepBook.open(log, { now: () => 0 });
  let runner: SweepRunner | undefined;
  const expelled: string[] = [];
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: tempFolder(),
    drainMs: 100,
    dispatch: { recheckRate: 1, recheckAfterMs: 50 },
    onExpelled(workerId, reason) {
      expelled.push(workerId);
      void runner!.expel(workerId, reason);
    },
  });
  onTestFinished(() => coordinator.close());
  const dial = async (id: string, firstLie?: number) => {
    const worker = scriptedWorker(coordinator.address, { id, credit: 3, answer: computing(firstLie) });
    await eventually(() => worker.welcome);
  };
  if (liar) await dial("liar", liar.firstLie);
  for (const id of ["w1", "w2", "w3"]) await dial(id);
  const executors: ClusterExecutor[] = [];
  runner = new SweepRunner({
    ...{ book, open: openJob(coordinator, executors), limit: 2 },
    reasonOf: (error) => (error as Error).message,
  });
  onTestFinished(() => runner?.close());
  await book.submit(sweepOf("friday", 2));
  await runner.idle();
  const records = log.records.map((text) => JSON.parse(text) as SweepRecord);
  return {
    jobs: findSweep(book.state, "friday")!.jobs.map(({ name, state, unchecked }) => ({
      name,
      state,
      unchecked,
    })),
    /** The last digest of each step's results. */
    steps: new Map(
      records.flatMap((record): [string, string | undefined][] =>
        record.kind === "step-committed"
          ? [[`${record.job} ${record.search} ${record.step.step}`, record.results]]
          : [],
      ),
    ),
    records,
    expelled,
  };
}

test("a worker that begins to lie in the middle of a sweep is expelled, and every job ends with the bits of the calm run", async () => {
  const calm = await sweepOn();
  expect(calm.jobs.map(({ state }) => state)).toMatchObject([{ phase: "done" }, { phase: "done" }]);
  // At this rate everything was checked before the jobs were done.
  expect(calm.jobs.map(({ unchecked }) => unchecked)).toEqual([undefined, undefined]);
  expect(calm.expelled).toEqual([]);
  expect(calm.steps.size).toBe(2 * 2 * 6);

  const lied = await sweepOn({ firstLie: 30 });
  expect(lied.expelled).toEqual(["liar"]);
  expect(lied.jobs.flatMap(({ state }) => (state.phase === "failed" ? [state.reason] : []))).toEqual([]);
  expect(lied.jobs.map(({ state }) => state)).toEqual(calm.jobs.map(({ state }) => state));
  expect(lied.steps).toEqual(calm.steps);
  expect(lied.records.filter(({ kind }) => kind === "worker-expelled")).toHaveLength(1);
  const after = lied.records.slice(lied.records.findIndex(({ kind }) => kind === "worker-expelled") + 1);
  for (const record of after)
    if (record.kind === "step-committed") expect(record.unchecked ?? []).not.toContain("liar");
}, 120_000);
