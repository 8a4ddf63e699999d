import { readdirSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import { DistrustedResultsError } from "../../coordinator/dispatch/errors.ts";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import { counted, startCluster } from "../support/cluster.ts";
import { FaultAgent } from "../support/fault-agent.ts";
import { hasShared } from "../support/shared.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { openTraining, trainCell } from "../support/training-case.ts";
import { eventually } from "../support/worker-scenes.ts";

const CELL = "defect_detection-codebert";
const OWNED = { ownedAboveBytes: 0 };

/** Three workers whose every result is checked. */
async function checkedCluster({ apart = false } = {}) {
  const agent = await FaultAgent.start(onTestFinished);
  const { coordinator } = await startCluster(3, undefined, {
    apart,
    dispatch: { recheckRate: 1 },
    optionsFor: (id) => agent.optionsFor(id),
  });
  const checks = (outcome: string) => counted(coordinator, "checks_total", { outcome });
  return { agent, coordinator, executor: coordinator.executor, checks };
}

const artifacts = ({ artifacts: { folder } }: Coordinator): string[] =>
  readdirSync(folder)
    .filter((name) => /^[0-9a-f]{64}$/.test(name))
    .sort();

describe.skipIf(!hasShared)("segments of a training run that one worker owns", () => {
  test.each([{ apart: false }, { apart: true }])(
    "are computed again by another worker, to the same bit of every weight (folders apart: $apart)",
    async ({ apart }) => {
      const { agent, coordinator, executor, checks } = await checkedCluster({ apart });
      const { trainer, steps } = await openTraining(executor, CELL, OWNED);
      const before = artifacts(coordinator);
      for (const step of steps) await trainer.run([step]);
      const weights = await trainer.weights();
      await executor.provenance.settled();
      expect(executor.provenance.uncheckedSince(0).workers).toEqual([]);
      expect(await checks("equal")).toBe(steps.length);
      // Each segment by its owner and by another worker.
      const runs = agent.begun.filter(({ kind }) => kind === "train-run");
      expect(runs).toHaveLength(2 * steps.length);
      // Inputs that were kept for the checks are gone, and so is what the checks gave.
      await trainer.close();
      await eventually(() => artifacts(coordinator).join() === before.join(), "the end of every state");
      const local = await createLocalExecutor({ folder: tempFolder(), threads: 1 });
      expect(weights).toEqual((await trainCell(local, CELL)).weights);
      await local.close();
    },
    600_000,
  );

  test("by a worker that leaves other weights than they give are found, by a single bit, and it is expelled", async () => {
    const { agent, coordinator, executor, checks } = await checkedCluster();
    const { trainer, steps } = await openTraining(executor, CELL, OWNED);
    let liar: string | undefined;
    agent.follow(({ kind, worker }) => {
      if (kind !== "train-run" || liar !== undefined) return undefined;
      liar = worker;
      return { order: "go", spoil: "state" };
    });
    await trainer.run(steps.slice(0, 1));
    const error = await executor.provenance.settled().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DistrustedResultsError);
    expect((error as Error).message).toContain(`worker ${liar} was expelled`);
    expect(await checks("different")).toBe(1);
    expect(await counted(coordinator, "workers_expelled_total")).toBe(1);
    await trainer.close();
  }, 600_000);
});
