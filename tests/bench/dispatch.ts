import type { Operation } from "../../proto/operations.ts";
import { withTimedWorkers } from "./start-timed-workers.ts";

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
  const shape = { workers, window, durationMs: { score: 0, gradient: 0, rank: 0 }, hidden: 1 };
  return withTimedWorkers(shape, async ({ executor }) => {
    const times: number[] = [];
    for (let step = 0; step < warmUpSteps + steps; step++) {
      const operations = Array.from({ length: tiles }, (_, sample) => tileOf(step, sample, candidates));
      const start = performance.now();
      const results = await executor.execute(operations);
      const took = performance.now() - start;
      if (results.length !== tiles) throw new Error(`${results.length} results for ${tiles} tiles`);
      if (step >= warmUpSteps) times.push(took);
      // Searches do other work between steps; the workers' credit comes in meanwhile.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return times;
  });
}

function tileOf(step: number, sample: number, candidates: number): Operation {
  const triggers = Array.from({ length: candidates }, (_, c) => [step, c, 30_000 + sample, 40_000, 50_000]);
  return { kind: "score", checkpoint: "c".repeat(64), samples: "d".repeat(64), sample, triggers };
}
