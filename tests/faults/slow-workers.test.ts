import { expect, onTestFinished, test } from "vitest";
import { metricSum } from "../support/metric-values.ts";
import { standStill } from "../support/stand-still.ts";
import { isRunning } from "../support/worker-scenes.ts";
import { noteCost } from "./cost.ts";
import { ScanScene } from "./scan-scene.ts";

const scene = ScanScene.forFile({ workers: 3, speculates: true });

test("3: a worker that hangs keeps nobody waiting, and comes back as if nothing had been", async (context) => {
  const cost = await scene.scanWith(async (scan) => {
    const held = scene.holdInSecondStep(scan, "score");
    const { worker } = await held.first();
    expect(scan.steps).toBe(1);
    const { pid } = scene.worker(worker);
    const resume = standStill([pid]);
    // Its child goes on meanwhile; nobody reads what it answers.
    held.release();
    await scan.trace;
    resume();
    await scene.connected("w1", "w2", "w3");
    expect(isRunning(pid)).toBe(true);
  });
  // An idle worker computes what the hung one holds before its leases expire, or after.
  const ended = (reason: string) => metricSum(cost, "coordinator_leases_ended_total", { reason });
  expect(ended("expired") + ended("lost") + ended("overtaken")).toBeGreaterThan(0);
  noteCost(context, cost);
});

test("11: a worker that is ten times slower changes no bit, and others take what waits behind it", async (context) => {
  const stop = scene.agent.follow(({ worker }) => (worker === "w1" ? { order: "go", times: 10 } : undefined));
  onTestFinished(stop);
  const from = scene.agent.begun.length;
  const cost = await scene.scanWith(async () => {});
  const of = (id: string) => scene.agent.begun.slice(from).filter(({ worker }) => worker === id).length;
  expect(of("w1")).toBeGreaterThan(0);
  expect(of("w2") + of("w3")).toBeGreaterThan(2 * of("w1"));
  noteCost(context, cost);
});
