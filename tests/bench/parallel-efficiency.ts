import { setTimeout as pause } from "node:timers/promises";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import type { Measurement, Scenario } from "./scenario.ts";
import { startSimulatedCluster } from "./simulated-cluster.ts";
import { runSimulatedSearches, type SimulatedPlan, shareOf } from "./simulated-searches.ts";
import { withTimedWorkers } from "./start-timed-workers.ts";

/** Milliseconds of the simulated operations; ranking is one product with the embedding table. */
const DURATION_MS = { score: 200, gradient: 200, rank: 20 } as const;
type Kind = keyof typeof DURATION_MS;
/** Leases that a worker holds at once, by default. */
const WINDOW = 4;
/** Before it, searches are all in their first steps, at the same places of them. */
const WARM_UP_MS = 20_000;

interface Shape {
  readonly workers: number;
  readonly searches: number;
  readonly plan: SimulatedPlan;
  readonly atLeast?: number;
}

/** `roundTiles` is the workers that each search has on average, where that is more than a few. */
const SHAPES: readonly Shape[] = [
  { workers: 8, searches: 2, plan: {} },
  { workers: 64, searches: 8, plan: {} },
  { workers: 64, searches: 8, plan: { roundTiles: 8 }, atLeast: 95 },
  { workers: 512, searches: 128, plan: { roundTiles: 4 }, atLeast: 90 },
];

const nameOf = ({ workers, searches, plan: { roundTiles } }: Shape): string =>
  `${workers} workers, ${searches} searches${roundTiles === undefined ? "" : `, round-tiles ${roundTiles}`}`;

interface Simulated {
  readonly busyPercent: number;
  /** Candidates × samples that were scored or pruned, a second: what searches get done. */
  readonly settledPerSecond: number;
  readonly prunedPercent: number;
}

/** The shape on a clock of its own. */
async function simulate({ workers, searches, plan }: Shape, measuredMs: number): Promise<Simulated> {
  const cluster = startSimulatedCluster({
    workers,
    window: WINDOW,
    latencyMs: 1,
    durationMs: ({ kind }) => DURATION_MS[kind as Kind],
  });
  const stop = new AbortController();
  const executors = Array.from({ length: searches }, () => cluster.newExecutor());
  const running = runSimulatedSearches(executors, plan, stop.signal);
  await cluster.runUntil(WARM_UP_MS);
  const before = { busyMs: cluster.busyMs(), ...running.forwards() };
  await cluster.runUntil(WARM_UP_MS + measuredMs);
  const after = { busyMs: cluster.busyMs(), ...running.forwards() };
  stop.abort();
  cluster.close();
  await running.ended;
  return {
    busyPercent: (100 * (after.busyMs - before.busyMs)) / (workers * measuredMs),
    settledPerSecond: (1_000 * (after.done + after.pruned - before.done - before.pruned)) / measuredMs,
    prunedPercent: shareOf(before, after),
  };
}

interface Measured {
  readonly busyPercent: number;
  /** Of this process: the coordinator's and the searches' own. */
  readonly processorMsPerOperation: number;
}

/** The same on this machine: every worker a gRPC stream of its own, and a timer for each operation. */
function measure({ workers, searches, plan }: Shape, measuredMs: number): Promise<Measured> {
  const shape = { workers, window: WINDOW, durationMs: DURATION_MS, hidden: 768 };
  return withTimedWorkers(shape, async (coordinator) => {
    const stop = new AbortController();
    const executors = Array.from({ length: searches }, () => coordinator.newExecutor());
    const running = runSimulatedSearches(executors, plan, stop.signal);
    await pause(WARM_UP_MS / 2);
    const before = { at: performance.now(), processor: process.cpuUsage(), ...(await endedIn(coordinator)) };
    await pause(measuredMs);
    const after = { at: performance.now(), ...(await endedIn(coordinator)) };
    const { user, system } = process.cpuUsage(before.processor);
    stop.abort();
    await running.ended;
    return {
      // What an operation should take, not what it took: a timer that is late, or a worker's process that waits for a core, is no work.
      busyPercent: (100 * (after.busyMs - before.busyMs)) / (workers * (after.at - before.at)),
      processorMsPerOperation: (user + system) / 1_000 / (after.operations - before.operations),
    };
  });
}

async function endedIn({ metrics }: Coordinator): Promise<{ operations: number; busyMs: number }> {
  const { values } = await metrics.registry.getSingleMetric("elibad_coordinator_operations_total")!.get();
  const done = values.filter(({ labels }) => labels.outcome === "done");
  return {
    operations: done.reduce((sum, { value }) => sum + value, 0),
    busyMs: done.reduce((sum, { value, labels }) => sum + value * DURATION_MS[labels.kind as Kind], 0),
  };
}

export const parallelEfficiency: Scenario = {
  name: "parallel-efficiency",
  about: "busy ÷ available time of 8 to 512 workers whose tiles take 200 ms, gradient and rank included",
  async run({ repetitions, say }) {
    const measurements: Measurement[] = [];
    for (const shape of SHAPES) {
      say(`${nameOf(shape)}, on a clock of its own`);
      const { busyPercent, settledPerSecond, prunedPercent } = await simulate(shape, 60_000);
      const name = nameOf(shape);
      measurements.push(
        {
          name: `${name}: busy`,
          unit: "%",
          values: [busyPercent],
          ...(shape.atLeast === undefined ? {} : { target: { bound: "at least", value: shape.atLeast } }),
        },
        { name: `${name}: settled`, unit: "forwards/s", values: [settledPerSecond] },
        { name: `${name}: pruned`, unit: "%", values: [prunedPercent] },
      );
    }
    for (const shape of SHAPES.filter(({ atLeast }) => atLeast !== undefined)) {
      const runs: Measured[] = [];
      for (let k = 0; k < repetitions(1); k++) {
        say(`${nameOf(shape)}, over gRPC`);
        runs.push(await measure(shape, 20_000));
      }
      measurements.push(
        {
          name: `${nameOf(shape)}, over gRPC: busy`,
          unit: "%",
          values: runs.map(({ busyPercent }) => busyPercent),
          target: { bound: "at least", value: shape.atLeast! },
        },
        {
          name: `${nameOf(shape)}, over gRPC: coordinator`,
          unit: "ms/operation",
          values: runs.map(({ processorMsPerOperation }) => processorMsPerOperation),
        },
      );
    }
    return {
      measurements,
      notes: [
        "searches and their plans are real, over a loss landscape that is scripted; 2 searches a model; tiles and gradients take 200 ms, ranking 20 ms",
        "first lines: a simulation by the real dispatcher on a virtual clock, messages 1 ms each way: plans and scheduling alone, the same on every machine",
        "over gRPC: a stream for each worker, all of them timers in one process beside the coordinator's, vectors of 768 numbers; busy is what operations should take",
        "settled: candidates × samples that were scored or pruned; a larger share of busy time with fewer of them would be no gain",
      ],
    };
  },
};
