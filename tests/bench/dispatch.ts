import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCoordinator } from "../../coordinator/coordinator.ts";
import type { Operation } from "../../proto/operations.ts";
import { packageRoot } from "../../proto/package-root.ts";
import type { ZeroWorkers } from "./zero-workers.ts";

export interface DispatchBenchOptions {
  readonly steps?: number;
  /** Steps before the clock starts: the first ones compile the code. */
  readonly warmUpSteps?: number;
  readonly tiles?: number;
  readonly workers?: number;
  /** Candidates in a tile, five tokens each. */
  readonly candidates?: number;
  /** Leases that a worker holds at once. */
  readonly window?: number;
}

/**
 * What the coordinator itself costs: milliseconds of each step of score tiles that workers answer without computing, over real
 * gRPC from another process: dispatch of all tiles and gathering of all results.
 */
export async function benchDispatch({
  steps = 100,
  warmUpSteps = 200,
  tiles = 64,
  workers = 2,
  candidates = 16,
  window = 16,
}: DispatchBenchOptions = {}): Promise<number[]> {
  const folder = mkdtempSync(join(tmpdir(), "elibad-bench-"));
  const coordinator = await startCoordinator({ artifactFolder: folder, drainMs: 100 });
  const told: ZeroWorkers = { address: coordinator.address, workers, window, candidates };
  const child = fork(join(packageRoot, "dist", "tests", "bench", "zero-workers.js"), [JSON.stringify(told)]);
  const ended = once(child, "exit");
  try {
    while (coordinator.workers().length < workers) {
      if (child.exitCode !== null) throw new Error(`the workers' process ended with ${child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const times: number[] = [];
    for (let step = 0; step < warmUpSteps + steps; step++) {
      const operations = Array.from({ length: tiles }, (_, sample) => tileOf(step, sample, candidates));
      const start = performance.now();
      const results = await coordinator.executor.execute(operations);
      const took = performance.now() - start;
      if (results.length !== tiles) throw new Error(`${results.length} results for ${tiles} tiles`);
      if (step >= warmUpSteps) times.push(took);
      // Searches do other work between steps; the workers' credit comes in meanwhile.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return times;
  } finally {
    if (child.connected) child.disconnect();
    await coordinator.close();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

function tileOf(step: number, sample: number, candidates: number): Operation {
  const triggers = Array.from({ length: candidates }, (_, c) => [step, c, 30_000 + sample, 40_000, 50_000]);
  return { kind: "score", checkpoint: "c".repeat(64), samples: "d".repeat(64), sample, triggers };
}
