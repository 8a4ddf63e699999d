import { describe, expect, test } from "vitest";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import type { StepRecord } from "../../coordinator/training/head-trainer.ts";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import { counted, startCluster } from "../support/cluster.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { noOrphans, type WorkerProcess } from "../support/processes.ts";
import { hasShared } from "../support/shared.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { type Outcome, openTraining, trainCell } from "../support/training-case.ts";
import { eventually } from "../support/worker-scenes.ts";

/** What the coordinator's own form gives, in this process. */
async function expected(cell: string): Promise<Outcome> {
  const local = await createLocalExecutor({ folder: tempFolder(), threads: 1 });
  const outcome = await trainCell(local, cell);
  await local.close();
  return outcome;
}

const holder = (coordinator: Coordinator): string | undefined =>
  coordinator.workers().find(({ leases }) => leases > 0)?.workerId;

/** Who works on something, while it is being worked on. */
async function ownerOf(coordinator: Coordinator, work: Promise<unknown>): Promise<string> {
  let owner: string | undefined;
  await eventually(() => {
    owner ??= holder(coordinator);
    return owner !== undefined;
  }, "a lease");
  await work;
  return owner!;
}

const processOf = (processes: readonly WorkerProcess[], workerId: string): WorkerProcess =>
  processes[Number(workerId.slice(1)) - 1]!;

describe.skipIf(!hasShared)("a training run that one worker owns, on two workers", () => {
  test.each(["defect_detection-codebert", "clone_detection-codet5", "defect_detection-starcoder"])(
    "%s: stays with its owner, and goes on with another, bit for bit, when that is killed in a segment",
    async (cell) => {
      const { coordinator, processes } = await startCluster(2);
      const { trainer, steps } = await openTraining(coordinator.executor, cell, { ownedAboveBytes: 0 });
      const records: StepRecord[] = [];
      const run = async (from: number, to: number) => {
        records.push(...(await trainer.run(steps.slice(from, to))));
      };
      const owner = await ownerOf(coordinator, run(0, 1));
      expect(await ownerOf(coordinator, run(1, 2))).toBe(owner);

      const victim = processOf(processes, owner);
      const child = await victim.childPid();
      process.kill(child, "SIGSTOP");
      const segment = run(2, 3);
      await eventually(() => holder(coordinator) === owner, "the owner's lease");
      await victim.kill();
      process.kill(child, "SIGCONT");
      await noOrphans([child]);
      await segment;
      await run(3, 4);

      const { records: known, weights } = await expected(cell);
      expect(records).toEqual(known);
      expect(await trainer.weights()).toEqual(weights);
      await trainer.close();
      expect(await counted(coordinator, "leases_ended_total", { reason: "lost" })).toBe(1);
    },
    600_000,
  );

  test.each([
    { apart: false, path: "stream" },
    { apart: true, path: "nats" },
  ])(
    "goes on with another when its owner is killed between segments (folders apart: $apart, results by $path)",
    async ({ apart, path }) => {
      const cell = "code_search-codebert";
      const nats = path === "nats" ? await startNatsServer() : undefined;
      const { coordinator, processes } = await startCluster(2, nats?.url, { apart });
      const { trainer, steps } = await openTraining(coordinator.executor, cell, { ownedAboveBytes: 0 });
      const first = trainer.run(steps.slice(0, 2));
      const owner = await ownerOf(coordinator, first);
      await processOf(processes, owner).kill();
      await eventually(() => coordinator.workers().length === 1, "the loss of the owner");
      const rest = await trainer.run(steps.slice(2));

      const { records, weights } = await expected(cell);
      expect([...(await first), ...rest]).toEqual(records);
      expect(await trainer.weights()).toEqual(weights);
      await trainer.close();
      // Three artifacts of a state, each as large as the weights, after each of two segments; or links.
      const received = await counted(coordinator, "artifact_bytes_total", { direction: "received" });
      const bytes = [...weights.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
      if (apart) expect(received / bytes).toBeCloseTo(6, 0);
      else expect(received).toBe(0);
    },
    600_000,
  );
});
