import { setTimeout as pause } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";
import { metricSum } from "../support/metric-values.ts";
import type { TcpProxy, Ways } from "../support/tcp-proxy.ts";
import { noteCost } from "./cost.ts";
import { shortOrLong } from "./long-form.ts";
import { ScanScene } from "./scan-scene.ts";

const scene = ScanScene.forFile({ workers: 0 });

/** Whichever worker a step waits for can be cut off: which one is first has to do with timing. */
const proxies = new Map<string, TcpProxy>();

beforeAll(async () => {
  for (const id of ["w1", "w2", "w3"]) proxies.set(id, await scene.startWorkerBehindProxy(id));
});

const cuts: readonly { readonly what: string; readonly ways: Ways }[] = [
  { what: "from a worker to the coordinator", ways: { requests: true } },
  { what: "from the coordinator to a worker", ways: { answers: true } },
  { what: "between a worker and the coordinator, both ways", ways: { requests: true, answers: true } },
];

test.for(cuts)(
  "10: a path that is cut $what for a while costs that worker's leases",
  async ({ ways }, context) => {
    const cost = await scene.scanWith(async (scan) => {
      const held = scene.holdInSecondStep(scan, "score");
      const { worker } = await held.first();
      expect(scan.steps).toBe(1);
      const proxy = proxies.get(worker)!;
      const heldBefore = proxy.heldBytes;
      proxy.hold(ways);
      held.release();
      // Where no heartbeat comes, until leases have ended; in the long form longer than either side's keepalive, too.
      const before = lostLeases(await scene.metrics());
      const lost = async () => lostLeases(await scene.metrics()) > before;
      if (ways.requests) await expect.poll(lost, { timeout: 60_000 }).toBe(true);
      await pause(shortOrLong(1_000, 30_000));
      expect(proxy.heldBytes).toBeGreaterThan(heldBefore);
      proxy.hold({});
      await scan.trace;
      await scene.connected(...proxies.keys());
    });
    // Where heartbeats still come, what was held is done, and only leases that did not arrive expire.
    if (ways.requests) expect(lostLeases(cost)).toBeGreaterThan(0);
    noteCost(context, cost);
  },
);

const lostLeases = (cost: Parameters<typeof metricSum>[0]): number =>
  ["expired", "lost"].reduce(
    (sum, reason) => sum + metricSum(cost, "coordinator_leases_ended_total", { reason }),
    0,
  );
