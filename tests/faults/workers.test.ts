import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { metricSum } from "../support/metric-values.ts";
import { noOrphans } from "../support/processes.ts";
import { standStill } from "../support/stand-still.ts";
import { noteCost } from "./cost.ts";
import { isLong, shortOrLong } from "./long-form.ts";
import { type FaultyScan, ScanScene } from "./scan-scene.ts";

// Small heaps, so that they are full soon.
const scene = ScanScene.forFile({ workers: 3, workerEnv: { NODE_OPTIONS: "--max-old-space-size=96" } });

/** Operations of a step, in their order: what a fault of the long form is tried at. */
const POINTS = shortOrLong(["score"], ["gradient", "rank", "score"]) as readonly (
  | "gradient"
  | "rank"
  | "score"
)[];

/** A step has begun and is not over. */
const inSecondStep = (scan: FaultyScan): void => expect(scan.steps).toBe(1);

const ended = (cost: ReadonlyMap<string, number>, reason: string): number =>
  metricSum(cost, "coordinator_leases_ended_total", { reason });

test.for(POINTS)(
  "1: kill -9 of an inference child in a %s operation costs that operation's lease",
  async (kind, context) => {
    let child = 0;
    const cost = await scene.scanWith(async (scan) => {
      const held = scene.holdInSecondStep(scan, kind);
      child = (await held.first()).pid;
      inSecondStep(scan);
      process.kill(child, "SIGKILL");
      await noOrphans([child]);
      held.release();
    });
    expect(ended(cost, "child-died")).toBe(1);
    expect(ended(cost, "lost")).toBe(0);
    noteCost(context, cost);
  },
);

test.for(isLong ? POINTS : [])(
  "1: kill -9 of a supervisor in a %s operation costs its leases",
  async (kind, context) => {
    const cost = await scene.scanWith(async (scan) => {
      const held = scene.holdInSecondStep(scan, kind);
      const { worker, pid } = await held.first();
      inSecondStep(scan);
      await scene.worker(worker).kill();
      // The child sees that its parent is gone.
      await noOrphans([pid]);
      held.release();
    });
    expect(ended(cost, "lost")).toBeGreaterThan(0);
    noteCost(context, cost);
  },
);

test.for(POINTS)(
  "2: all workers are killed in a %s operation, new ones come later and finish",
  async (kind, context) => {
    const cost = await scene.scanWith(async (scan) => {
      const held = scene.holdInSecondStep(scan, kind);
      await held.first();
      inSecondStep(scan);
      const ids = ["w1", "w2", "w3"];
      await Promise.all(ids.map((id) => scene.worker(id).kill()));
      await scene.connected();
      held.release();
      await pause(shortOrLong(500, 5_000));
      inSecondStep(scan);
      expect(scene.coordinator.waitingReason()).toBe("no worker is connected");
      for (const id of ids) scene.startWorker(id);
      await scene.connected(...ids);
    });
    expect(ended(cost, "lost")).toBeGreaterThan(0);
    noteCost(context, cost);
  },
);

test("3: leases of workers that all hang expire, and are given again when somebody comes back", async (context) => {
  const cost = await scene.scanWith(async (scan) => {
    const held = scene.holdInSecondStep(scan, "score");
    await held.first();
    inSecondStep(scan);
    const resume = standStill(["w1", "w2", "w3"].map((id) => scene.worker(id).pid));
    held.release();
    const before = ended(await scene.metrics(), "expired");
    await expect
      .poll(async () => ended(await scene.metrics(), "expired"), { timeout: 60_000 })
      .toBeGreaterThan(before);
    inSecondStep(scan);
    resume();
  });
  expect(ended(cost, "expired")).toBeGreaterThan(0);
  noteCost(context, cost);
});

test("19: a worker that is told to stop finishes or gives back what it has, and exits with 0", async (context) => {
  const cost = await scene.scanWith(async (scan) => {
    const held = scene.holdInSecondStep(scan, "score");
    const { worker: id, pid } = await held.first();
    inSecondStep(scan);
    const { process: worker, exit } = scene.worker(id);
    worker.kill("SIGTERM");
    await pause(200);
    held.release();
    expect(await exit()).toBe(0);
    await noOrphans([pid]);
  });
  // What ran was finished, what waited was given back: nothing was lost.
  expect(ended(cost, "lost")).toBe(0);
  noteCost(context, cost);
});

test("22: a child that runs out of memory costs its operation's lease; the worker goes on with a new one", async (context) => {
  let id = "";
  const cost = await scene.scanWith(async (scan) => {
    const held = scene.holdInSecondStep(scan, "score");
    const { worker, pid } = await held.first();
    id = worker;
    inSecondStep(scan);
    held.release(undefined, { [pid]: { order: "exhaust-memory" } });
    await noOrphans([pid]);
  });
  expect(scene.worker(id).log()).toMatch(
    /the inference child died during a score operation: killed by SIGABRT/,
  );
  expect(ended(cost, "child-died")).toBe(1);
  noteCost(context, cost);
});
