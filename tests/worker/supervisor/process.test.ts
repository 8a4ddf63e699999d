import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { noOrphans, startWorkerProcess } from "../../support/processes.ts";
import { ScriptedCoordinator } from "../../support/scripted-coordinator.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { HANGS, scoreOperations, zeroComputeChild } from "../../support/worker-scenes.ts";

async function scene() {
  const coordinator = await ScriptedCoordinator.start();
  const cacheFolder = tempFolder();
  const worker = startWorkerProcess({
    protection: "plain",
    coordinators: [coordinator.address],
    id: "w1",
    cacheFolder,
    childEntry: zeroComputeChild,
    metricsPort: 0,
    logFormat: "json",
  });
  const stream = await coordinator.stream();
  await stream.take("heartbeat");
  return { coordinator, cacheFolder, worker, stream, child: await worker.childPid() };
}

test("SIGTERM drains a worker process: it exits with 0 and leaves no child and no result file", async () => {
  const { worker, child, stream, cacheFolder } = await scene();
  worker.process.kill("SIGTERM");
  await stream.take("goodbye");
  expect(await worker.exit()).toBe(0);
  await noOrphans([child]);
  expect(readdirSync(join(cacheFolder, "results"))).toEqual([]);
  const lines = worker.log().trim().split("\n");
  expect(JSON.parse(lines.at(-1)!)).toMatchObject({ level: "info", msg: "stopped: received SIGTERM" });
});

test("kill -9 of a worker process ends its child, even in the middle of a run, and shows as a lost stream", async () => {
  const { worker, child, stream, coordinator } = await scene();
  stream.lease(1, scoreOperations(coordinator)(HANGS));
  await stream.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 1);
  await worker.kill();
  await stream.takeEnd();
  expect(stream.left("goodbye")).toBe(0);
  await noOrphans([child]);
});

test("a second Ctrl-C ends a worker at once, with the child that still runs", async () => {
  const { worker, child, stream, coordinator } = await scene();
  stream.lease(1, scoreOperations(coordinator)(HANGS));
  await stream.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 1);
  worker.process.kill("SIGINT");
  await stream.take("draining");
  worker.process.kill("SIGINT");
  expect(await worker.exit()).toBe(130);
  await noOrphans([child]);
});

test("a worker process that is refused exits with 1 and says why; wrong options give 2", async () => {
  const coordinator = await ScriptedCoordinator.start();
  coordinator.refuses = "another program version";
  const refused = startWorkerProcess({
    protection: "plain",
    coordinators: [coordinator.address],
    cacheFolder: tempFolder(),
    childEntry: zeroComputeChild,
  });
  const wrong = startWorkerProcess({
    protection: "plain",
    coordinators: ["nowhere"],
    cacheFolder: tempFolder(),
  });
  expect(await wrong.exit()).toBe(2);
  expect(wrong.log()).toBe('elibad worker: worker option coordinators.0: host:port (given: "nowhere")\n');
  expect(await refused.exit()).toBe(1);
  expect(refused.log()).toContain("refused this worker: another program version");
});
