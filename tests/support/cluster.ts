import { rmSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import {
  type Coordinator,
  type CoordinatorOptions,
  startCoordinator,
} from "../../coordinator/coordinator.ts";
import { noncePath } from "../../proto/artifact-layout.ts";
import type { ProgramForm } from "../../proto/operations.ts";
import type { WorkerOptions } from "../../worker/options.ts";
import { programVersion } from "../../worker/program-version.ts";
import { noOrphans, startWorkerProcess, type WorkerProcess } from "./processes.ts";
import { tempFolder } from "./temp-folder.ts";
import { eventually } from "./worker-scenes.ts";

/**
 * A coordinator in this process and real worker processes `w1`, `w2`, …, all ended with the test. They are `apart` where no two of them see the
 * same folder, as on machines of their own.
 */
export async function startCluster(
  workers: number,
  natsUrl?: string,
  {
    apart = false,
    form,
    dispatch = {},
    optionsFor = () => ({}),
  }: {
    readonly apart?: boolean;
    readonly form?: ProgramForm;
    readonly dispatch?: CoordinatorOptions["dispatch"];
    /** More options of a worker, by its id. */
    readonly optionsFor?: (id: string) => Partial<WorkerOptions>;
  } = {},
): Promise<{ coordinator: Coordinator; processes: WorkerProcess[] }> {
  const coordinator = await startCoordinator({
    protection: "plain",
    artifactFolder: join(tempFolder(), "artifacts"),
    programVersion: programVersion(),
    ...(natsUrl === undefined ? {} : { nats: { url: natsUrl } }),
    // Nobody does the work of a worker that is stopped before it is killed: `killBusyWorker` has everybody wait for it.
    dispatch: { speculateFactor: 0, moveAfterMs: 600_000, ...dispatch },
  });
  onTestFinished(() => coordinator.close());
  const { folder, nonce } = coordinator.artifacts;
  if (apart) rmSync(noncePath(folder, nonce));
  const protection = "plain" as const;
  const options = { protection, coordinators: [coordinator.address], threads: 1, ...(form && { form }) };
  const shared = tempFolder();
  const processes = Array.from({ length: workers }, (_, k) => {
    const id = `w${k + 1}`;
    const cacheFolder = apart ? tempFolder() : shared;
    return startWorkerProcess({ ...options, id, cacheFolder, ...optionsFor(id) });
  });
  await eventually(() => coordinator.workers().length === workers, `${workers} workers`);
  return { coordinator, processes };
}

/** Looks in a row at which nothing may have moved: a result that was on its way has arrived by then. */
const QUIET_LOOKS = 15;

/**
 * Kills the worker `w1` (kill -9) while others wait for it. Its child is stopped first, so that what it holds stays undone; when everything else
 * is done, the worker is killed and its child let go, whose end is waited for, too. Answers how many leases the worker took with it.
 *
 * @param onKill called just before the kill, while nothing can go on
 */
export async function killBusyWorker(
  coordinator: Coordinator,
  processes: readonly WorkerProcess[],
  onKill?: () => void,
): Promise<number> {
  const victim = processes[0]!;
  const child = await victim.childPid();
  process.kill(child, "SIGSTOP");
  let quiet = 0;
  const everybodyWaits = () => {
    const holders = coordinator.workers().filter(({ leases }) => leases > 0);
    quiet = holders.length === 1 && holders[0]!.workerId === "w1" ? quiet + 1 : 0;
    return quiet > QUIET_LOOKS;
  };
  try {
    await eventually(everybodyWaits, "a lease of the worker w1 that all others wait for");
    onKill?.();
    return coordinator.workers().find(({ workerId }) => workerId === "w1")!.leases;
  } finally {
    await victim.kill();
    process.kill(child, "SIGCONT");
    await noOrphans([child]);
  }
}

/** What a counter of the coordinator says, summed over those of its label sets that have these labels. */
export async function counted(
  { metrics }: Coordinator,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const { values } = await metrics.registry.getSingleMetric(`elibad_coordinator_${name}`)!.get();
  return values
    .filter((each) => Object.entries(labels).every(([label, value]) => each.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0);
}
