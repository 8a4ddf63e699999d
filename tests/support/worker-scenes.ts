import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { Digest, ScoreOperation } from "../../proto/operations.ts";
import type { WorkerOptions } from "../../worker/options.ts";
import { type RunningWorker, startWorker } from "../../worker/run.ts";
import type { ScriptedCoordinator } from "./scripted-coordinator.ts";
import { tempFolder } from "./temp-folder.ts";

/** Inference child without an engine, see its file. */
export const zeroComputeChild = fileURLToPath(new URL("./zero-compute-child.mjs", import.meta.url));

/** Samples that make the zero-compute child misbehave; the same table as there. */
export const DIES = 9001;
export const FAILS = 9002;
export const IS_LARGE = 9003;
export const HANGS = 9004;
export const SHORT_OF_MEMORY = 9005;
/** Takes a second, in five parts. */
export const IN_PARTS = 9006;

/** A zero-compute worker's supervisor in this process, ended with the test. */
export async function startTestWorker(
  coordinator: ScriptedCoordinator | string,
  options: Partial<WorkerOptions> = {},
): Promise<RunningWorker> {
  const worker = await startWorker({
    protection: "plain",
    coordinators: [typeof coordinator === "string" ? coordinator : coordinator.address],
    id: "w1",
    childEntry: zeroComputeChild,
    cacheFolder: tempFolder(),
    logLevel: "silent",
    threads: 1,
    drainMs: 2_000,
    ...options,
  });
  onTestFinished(async () => {
    worker.drain("the test is over");
    await worker.done;
  });
  return worker;
}

/** A coordinator's artifacts for score operations of the zero-compute child. */
export function scoreOperations(
  coordinator: ScriptedCoordinator,
): (sample: number, trigger?: number) => ScoreOperation {
  const checkpoint: Digest = coordinator.putCheckpoint();
  const samples = coordinator.put("samples");
  return (sample, trigger = 0) => ({ kind: "score", checkpoint, samples, sample, triggers: [[trigger]] });
}

/** Whether a process runs: one that is dead and not yet collected by its parent does not. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Waits until something holds, looking every few milliseconds. */
export async function eventually(holds: () => boolean, what: string, withinMs = 60_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
