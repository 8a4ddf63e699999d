import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.ts";
import { programVersion } from "../../worker/program-version.ts";
import { noOrphans, startWorkerProcesses, type WorkerProcess } from "./processes.ts";
import { tempFolder } from "./temp-folder.ts";
import { eventually } from "./worker-scenes.ts";

/** A coordinator in this process and real worker processes `w1`, `w2`, …, all ended with the test. */
export async function startCluster(
  workers: number,
  natsUrl?: string,
): Promise<{ coordinator: Coordinator; processes: WorkerProcess[] }> {
  const coordinator = await startCoordinator({
    artifactFolder: join(tempFolder(), "artifacts"),
    programVersion: programVersion(),
    ...(natsUrl === undefined ? {} : { natsUrl }),
  });
  onTestFinished(() => coordinator.close());
  const processes = startWorkerProcesses(workers, {
    coordinators: [coordinator.address],
    cacheFolder: tempFolder(),
    threads: 1,
  });
  await eventually(() => coordinator.workers().length === workers, `${workers} workers`, 30_000);
  return { coordinator, processes };
}

/** Kills the worker `w1` (kill -9) at a moment when it holds a lease, and waits until its child is gone too. */
export async function killBusyWorker(
  coordinator: Coordinator,
  processes: readonly WorkerProcess[],
): Promise<void> {
  const victim = processes[0]!;
  const child = await victim.childPid();
  const holds = () => coordinator.workers().some(({ workerId, leases }) => workerId === "w1" && leases > 0);
  await eventually(holds, "a lease of the worker w1");
  await victim.kill();
  await noOrphans([child]);
}
