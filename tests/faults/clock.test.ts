import { expect, test } from "vitest";
import { startWorkerProcess } from "../support/processes.ts";
import { ScriptedCoordinator } from "../support/scripted-coordinator.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { testClock } from "../support/test-clock.ts";
import { scoreOperations, zeroComputeChild } from "../support/worker-scenes.ts";
import { noteCost } from "./cost.ts";
import { ScanScene } from "./scan-scene.ts";

const DAY = 86_400;
const scene = ScanScene.forFile({ workers: 1 });

test("16: a worker whose clock jumps by days in every step changes no bit and loses no lease", async (context) => {
  const clock = testClock();
  let jumps = 0;
  scene.startWorker("w2", {}, clock);
  const cost = await scene.scanWith(async (scan) => {
    const stop = scene.agent.follow(({ worker }) => {
      if (worker === "w2") clock.jump(DAY * (jumps++ % 2 === 0 ? 2 : -2));
      return undefined;
    });
    await scan.trace;
    stop();
    await scene.endWorker("w2");
  });
  expect(jumps).toBeGreaterThan(2);
  noteCost(context, cost);
});

test("16: a result that was not accepted is sent again in time, although the worker's clock went back a day", async (context) => {
  const coordinator = await ScriptedCoordinator.start();
  const clock = testClock();
  startWorkerProcess(
    {
      protection: "plain",
      coordinators: [coordinator.address],
      id: "w1",
      threads: 1,
      childEntry: zeroComputeChild,
      cacheFolder: tempFolder(),
      resendMs: 300,
    },
    { env: clock.env },
  );
  const stream = await coordinator.stream();
  stream.accepts = false;
  const fingerprint = stream.lease(1, scoreOperations(coordinator)(1));
  expect((await stream.result()).fingerprint).toBe(fingerprint);
  clock.jump(-DAY);
  // Within the time that it would take without a jump, and not a day later.
  expect((await stream.result()).fingerprint).toBe(fingerprint);
  noteCost(context, "results sent again 1");
});
