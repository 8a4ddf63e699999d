import { describe, expect, test } from "vitest";
import { createLocalExecutor } from "../../worker/runtime/local-executor.ts";
import { counted, killBusyWorker, startCluster } from "../support/cluster.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { randomModel } from "../support/random-model.ts";
import { SMALL_SCAN_STEPS, smallScan, stepsOf } from "../support/small-scan.ts";
import { tempFolder } from "../support/temp-folder.ts";

describe("a scan has the same trace, bit for bit, as on one worker", () => {
  let known: Promise<readonly string[]> | undefined;
  /** The trace on one worker, over its stream. */
  const expected = () => {
    known ??= startCluster(1).then(async ({ coordinator }) =>
      smallScan(coordinator.executor, await randomModel()),
    );
    return known;
  };

  test.each([
    { workers: 2, path: "stream" },
    { workers: 2, path: "nats" },
    { workers: 4, path: "stream" },
    { workers: 4, path: "nats" },
  ] as const)(
    "on $workers workers, results by $path, one worker killed in the middle of a step",
    async ({ workers, path }) => {
      expect(stepsOf(await expected())).toBe(SMALL_SCAN_STEPS);

      const nats = path === "nats" ? await startNatsServer() : undefined;
      const { coordinator, processes } = await startCluster(workers, nats?.url);
      const lines: string[] = [];
      const atKill = { steps: 0 };
      let kill: Promise<number> | undefined;
      const trace = await smallScan(coordinator.executor, await randomModel(), {
        onLine: (line) => {
          lines.push(line);
          if (stepsOf(lines) === 0) return;
          kill ??= killBusyWorker(coordinator, processes, () => {
            atKill.steps = stepsOf(lines);
          });
        },
      });
      const leases = await kill;
      // The scan had begun a step, which could not end without what the killed worker held.
      expect(atKill.steps).toBeGreaterThan(0);
      expect(atKill.steps).toBeLessThan(SMALL_SCAN_STEPS);
      expect(leases).toBeGreaterThan(0);
      expect(await counted(coordinator, "leases_ended_total", { reason: "lost" })).toBe(leases);
      expect(coordinator.workers()).toHaveLength(workers - 1);
      expect(trace).toEqual(await expected());
      expect(await counted(coordinator, "results_total", { path, fate: "used" })).toBeGreaterThan(50);
    },
    600_000,
  );
});

test("a scan in the fused form has one trace, too: on two workers that found it right, and in this process", async () => {
  const model = await randomModel();
  const { coordinator } = await startCluster(2, undefined, { form: "fused" });
  const executor = await createLocalExecutor({ folder: tempFolder(), threads: 2 });

  const trace = await smallScan(coordinator.executor, model, { programForm: "fused" });

  expect(await smallScan(executor, model, { programForm: "fused" })).toEqual(trace);
  await executor.close();
}, 600_000);
