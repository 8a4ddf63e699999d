import { Worker } from "node:worker_threads";

const POLL_MS = 250;

/**
 * Ends this process when its parent is gone. The IPC channel's end tells it at once, but not while a run blocks the event
 * loop; so a thread looks whether the system gave the process another parent. It kills the whole process: a thread cannot
 * be relied on to end a process whose main thread computes.
 */
export function dieWithParent(): void {
  process.once("disconnect", () => process.exit(0));
  // The terminal sends Ctrl-C to all its processes; only the supervisor decides what it means.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  const watch = new Worker(
    `const { workerData } = require("node:worker_threads");
    const clock = new Int32Array(new SharedArrayBuffer(4));
    while (process.ppid === workerData.parent) Atomics.wait(clock, 0, 0, workerData.pollMs);
    process.kill(process.pid, "SIGKILL");`,
    {
      eval: true,
      workerData: { parent: process.ppid, pollMs: POLL_MS },
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 16, stackSizeMb: 1 },
    },
  );
  watch.unref();
}
