import { expect, test } from "vitest";
import { startSimulatedCluster } from "../../bench/simulated-cluster.ts";
import { runSimulatedSearches, type SimulatedPlan } from "../../bench/simulated-searches.ts";

/** Percent of their time for which workers are busy, from the 5th to the 25th second of searches whose operations take 200 ms. */
async function busyPercent(workers: number, searches: number, plan: SimulatedPlan): Promise<number> {
  const durationMs = ({ kind }: { readonly kind: string }) => (kind === "rank" ? 20 : 200);
  const cluster = startSimulatedCluster({ workers, window: 4, latencyMs: 1, durationMs });
  const stop = new AbortController();
  const executors = Array.from({ length: searches }, () => cluster.newExecutor());
  const running = runSimulatedSearches(executors, plan, stop.signal);
  await cluster.runUntil(5_000);
  const before = cluster.busyMs();
  await cluster.runUntil(25_000);
  const busyMs = cluster.busyMs() - before;
  stop.abort();
  cluster.close();
  await running.ended;
  return (100 * busyMs) / (workers * 20_000);
}

test("8 searches keep 64 workers busy for 95 % of the time, where rounds have a tile for each worker of a search", async () => {
  expect(await busyPercent(64, 8, { roundTiles: 8 })).toBeGreaterThan(95);
});

test("a search alone keeps 8 workers busier in larger rounds", async () => {
  const small = await busyPercent(8, 1, {});
  expect(small).toBeLessThan(85);
  expect(await busyPercent(8, 1, { roundTiles: 24 })).toBeGreaterThan(small + 3);
});
