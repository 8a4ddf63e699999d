import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.ts";
import { packageRoot } from "../../proto/package-root.ts";
import type { TimedWorkers } from "./timed-workers.ts";

/** A coordinator in this process, and workers of `timed-workers.ts` in another one; all are ended after `work`. */
export async function withTimedWorkers<T>(
  shape: Omit<TimedWorkers, "address">,
  work: (coordinator: Coordinator) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "elibad-bench-"));
  const coordinator = await startCoordinator({ protection: "plain", artifactFolder: folder, drainMs: 100 });
  const told: TimedWorkers = { address: coordinator.address, ...shape };
  const child = fork(join(packageRoot, "dist", "tests", "bench", "timed-workers.js"), [JSON.stringify(told)]);
  const ended = once(child, "exit");
  try {
    while (coordinator.workers().length < shape.workers) {
      if (child.exitCode !== null) throw new Error(`the workers' process ended with ${child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return await work(coordinator);
  } finally {
    if (child.connected) child.disconnect();
    await coordinator.close();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}
