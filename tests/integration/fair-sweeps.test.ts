import { expect, test } from "vitest";
import { eventually } from "../support/worker-scenes.ts";
import { zeroComputeCluster } from "../support/zero-compute-cluster.ts";

test("a small sweep beside a large one gets its share of real worker processes, within 20 % of its weight", async () => {
  const { coordinator, score, start } = await zeroComputeCluster();
  for (const id of ["w1", "w2"]) await start(id, { delayMs: 50 });
  const stop = new AbortController();
  let sample = 0;
  const job = async (group: string, weight: number) => {
    const executor = coordinator.newExecutor({ share: { group, weight, priority: 0 } });
    while (!stop.signal.aborted) {
      const round = Array.from({ length: 8 }, () => score(++sample % 9_000));
      await executor.execute(round, stop.signal).catch((error: unknown) => {
        if (!stop.signal.aborted) throw error;
      });
    }
    await executor.close();
  };
  const shareOf = (group: string) => coordinator.shares().find((each) => each.group === group);
  const workOf = (group: string) => shareOf(group)?.workSeconds ?? 0;
  const jobs = [
    ...Array.from({ length: 6 }, () => job("large", 1)),
    ...Array.from({ length: 3 }, () => job("small", 3)),
  ];
  // The shares may lie a quantum of work apart.
  await eventually(() => workOf("large") + workOf("small") > 60, "60 s of work", 240_000);
  const share = workOf("small") / (workOf("large") + workOf("small"));
  expect(shareOf("small")).toMatchObject({ weight: 3, scopes: 3 });
  stop.abort();
  await Promise.all(jobs);
  expect(share / 0.75).toBeGreaterThan(0.8);
  expect(share / 0.75).toBeLessThan(1.2);
  expect(coordinator.shares()).toEqual([]);
});
