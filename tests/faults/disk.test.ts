import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { metricSum } from "../support/metric-values.ts";
import { smallDisk } from "../support/small-disk.ts";
import { noteCost } from "./cost.ts";
import { ScanScene } from "./scan-scene.ts";

const scene = ScanScene.forFile({ workers: 1 });

test("15: a worker whose disk is full gives its operations to others, and works when there is room", async (context) => {
  const disk = await smallDisk(8, context);
  const other = disk.seenFromHere("other");
  // What is left is less than a checkpoint, which cannot be linked to another disk.
  writeFileSync(other, Buffer.alloc(7_900_000));
  const worker = scene.startWorker("w2", { cacheFolder: join(disk.folder, "cache") }, { disk });
  const cost = await scene.scanWith(async (scan) => {
    const held = scene.holdInSecondStep(scan, "score");
    await held.first("w1");
    const errors = async () =>
      metricSum(await scene.metrics(), "coordinator_results_total", { fate: "error" });
    await expect.poll(errors, { timeout: 30_000 }).toBeGreaterThan(0);
    expect(worker.log()).toMatch(/no artifacts for a \w+ operation: ENOSPC/);
    expect(scan.steps).toBe(1);
    rmSync(other);
    held.release();
    await scan.trace;
    await scene.endWorker("w2");
  });
  expect(metricSum(cost, "coordinator_results_total", { fate: "error" })).toBeGreaterThan(0);
  noteCost(context, cost);
});
