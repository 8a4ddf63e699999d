import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { digestOf } from "../../../proto/canonical-json.ts";
import type { Heartbeat } from "../../../proto/messages.ts";
import { programVersion } from "../../../worker/program-version.ts";
import { ScriptedCoordinator } from "../../support/scripted-coordinator.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import {
  DIES,
  eventually,
  FAILS,
  HANGS,
  IN_PARTS,
  IS_LARGE,
  isRunning,
  SHORT_OF_MEMORY,
  scoreOperations,
  startTestWorker,
} from "../../support/worker-scenes.ts";

test("a worker says who it is and grants credit", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const worker = await startTestWorker(coordinator, { leases: 3, memoryBytes: 1e9 });
  const stream = await coordinator.stream();

  expect(stream.hello).toMatchObject({
    workerId: "w1",
    programVersion: programVersion(),
    deviceClass: { provider: "none", hardware: "zero-compute" },
    memoryBytes: 1e9,
    cachedCheckpoints: [],
    threads: 1,
  });
  await stream.creditOf(3);
  expect(stream.credit).toBe(3);
  expect(worker.state).toEqual({ kind: "serving", address: coordinator.address });
});

test("a lease gives a result with the lease's fingerprint, and its credit comes back", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator, { leases: 2 });
  const stream = await coordinator.stream();
  await stream.creditOf(2);

  const fingerprint = stream.lease(1, score(7));
  const result = await stream.result();
  expect(result).toMatchObject({
    fingerprint,
    workerId: "w1",
    forwards: 1,
    programVersion: programVersion(),
  });
  expect(result.outcome).toMatchObject({ kind: "tensors" });
  if (result.outcome.kind === "tensors") expect([...result.outcome.tensors.logits!.data]).toEqual([7]);
  await stream.creditOf(2);
});

test("a result above the inline bound comes as an artifact, uploaded before it is named", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator);
  const stream = await coordinator.stream();
  stream.lease(1, score(IS_LARGE));

  const { outcome } = await stream.result();
  expect(outcome.kind).toBe("artifact");
  if (outcome.kind !== "artifact") return;
  const bytes = coordinator.uploads.get(outcome.digest);
  expect(bytes?.length).toBeGreaterThan(4_000_000);
  expect(digestOf(bytes!)).toBe(outcome.digest);
});

test("errors say whether another worker may succeed", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator);
  const stream = await coordinator.stream();

  stream.lease(1, score(FAILS));
  expect((await stream.result()).outcome).toEqual({
    kind: "error",
    retryable: false,
    message: "this sample cannot be scored",
  });
  stream.lease(2, score(SHORT_OF_MEMORY));
  expect((await stream.result()).outcome).toMatchObject({ kind: "error", retryable: true });
  stream.lease(3, { ...score(1), samples: digestOf("nowhere") });
  expect((await stream.result()).outcome).toMatchObject({ kind: "error", retryable: true });
  stream.lease(4, { ...score(1), samples: "../../secrets" });
  expect((await stream.result()).outcome).toMatchObject({ message: "'../../secrets' is no sha256 digest" });
});

test("heartbeats name the leases that are held and the one that runs, and the child's memory", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator, { engineOptions: { delayMs: 2_500 } });
  const stream = await coordinator.stream();
  stream.lease(11, score(1));
  stream.lease(12, score(2));

  const { heartbeat } = await stream.take(
    "heartbeat",
    (each) => each.heartbeat.runningLeaseId === 11 && each.heartbeat.leaseIds.length === 2,
  );
  expect(heartbeat.leaseIds).toEqual([11, 12]);
  expect(heartbeat.childRssBytes).toBeGreaterThan(10_000_000);
  await stream.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 12);
});

test("a child that dies is reported with its lease and its signal, and the next one goes on", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  const cacheFolder = tempFolder();
  const worker = await startTestWorker(coordinator, { cacheFolder });
  const stream = await coordinator.stream();
  const first = worker.childPid!;
  stream.lease(1, score(DIES));
  const fingerprint = stream.lease(2, score(5));

  expect((await stream.take("childDied")).childDied).toEqual({ leaseId: 1, reason: "killed by SIGKILL" });
  expect((await stream.result()).fingerprint).toBe(fingerprint);
  expect(worker.childPid).not.toBe(first);
  expect(stream.left("childDied")).toBe(0);
  await stream.creditOf(4);
  // What it had begun to write is gone.
  const results = readdirSync(join(cacheFolder, "results"), { recursive: true }).map(String);
  expect(results.filter((name) => name.endsWith("half a result"))).toEqual([]);
});

test("a result that waits for its upload outlives the child that wrote it", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator);
  const stream = await coordinator.stream();
  stream.lease(1, score(IS_LARGE));
  stream.lease(2, score(DIES));
  const { outcome } = await stream.result();
  expect(outcome.kind === "artifact" && coordinator.uploads.has(outcome.digest)).toBe(true);
  await stream.take("childDied");
});

test("what the first child found is what later ones are asked for and told, and the coordinator hears what goes elsewhere", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  const found = { provider: "webgpu", elsewhere: ["Add on CPUExecutionProvider"] };
  await startTestWorker(coordinator, { device: "auto", engineOptions: found });
  const stream = await coordinator.stream();
  expect(stream.hello).toMatchObject({
    deviceClass: { provider: "webgpu", hardware: "zero-compute, asked for auto" },
    operatorsElsewhere: ["Add on CPUExecutionProvider"],
  });

  stream.lease(1, score(DIES));
  await stream.take("childDied");
  stream.lease(2, score(7));
  expect((await stream.result()).deviceClass.hardware).toBe(
    "zero-compute, asked for webgpu, found webgpu before",
  );
});

test("a cancelled operation that runs ends with its child, and the ones behind it are done", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  const worker = await startTestWorker(coordinator);
  const stream = await coordinator.stream();
  const first = worker.childPid!;
  stream.lease(1, score(HANGS));
  const fingerprint = stream.lease(2, score(5));
  stream.lease(3, score(6));
  await stream.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 1);
  stream.cancel(3);
  stream.cancel(1);

  expect((await stream.result()).fingerprint).toBe(fingerprint);
  expect(isRunning(first)).toBe(false);
  await stream.creditOf(4);
  expect(stream.left("resultEnvelopes") + stream.left("childDied")).toBe(0);
});

test("an operation that runs and is only not needed any more may go on", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  const worker = await startTestWorker(coordinator, { engineOptions: { delayMs: 2_500 } });
  const stream = await coordinator.stream();
  const child = worker.childPid;
  const first = stream.lease(1, score(1));
  stream.lease(2, score(2));
  await stream.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 1);
  stream.cancel(1, { letRun: true });
  stream.cancel(2, { letRun: true });

  expect((await stream.result()).fingerprint).toBe(first);
  await stream.creditOf(4);
  expect(worker.childPid).toBe(child);
  expect(stream.left("resultEnvelopes")).toBe(0);
});

test("a cancelled operation that waits does not disturb the one that runs", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  const worker = await startTestWorker(coordinator, { engineOptions: { delayMs: 2_500 } });
  const stream = await coordinator.stream();
  const child = worker.childPid;
  const first = stream.lease(1, score(1));
  stream.lease(2, score(2));
  await stream.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 1);
  stream.cancel(2);
  const third = stream.lease(3, score(3));

  expect((await stream.result()).fingerprint).toBe(first);
  expect((await stream.result()).fingerprint).toBe(third);
  expect(worker.childPid).toBe(child);
});

test("a child that is silent for too long counts as dead", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator, { operationTimeoutMs: 300 });
  const stream = await coordinator.stream();
  stream.lease(1, score(HANGS));
  expect((await stream.take("childDied")).childDied).toEqual({
    leaseId: 1,
    reason: "it was silent for too long",
  });
});

test("a child that does a long operation in parts is not silent, and heartbeats count its parts", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator, { operationTimeoutMs: 3_000 });
  const stream = await coordinator.stream();
  const fingerprint = stream.lease(1, score(IN_PARTS));
  const counting = ({ heartbeat }: { heartbeat: Heartbeat }) =>
    heartbeat.runningLeaseId === 1 && heartbeat.partsDone > 0;
  await stream.take("heartbeat", counting);
  expect((await stream.result()).fingerprint).toBe(fingerprint);
  expect(stream.left("childDied")).toBe(0);
});

test("the child is replaced after so many checkpoints", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const worker = await startTestWorker(coordinator, { recycleCheckpoints: 2, leases: 8 });
  const stream = await coordinator.stream();
  const children = new Set<number>();
  for (const n of [1, 2, 3, 4, 5]) {
    const operation = {
      ...scoreOperations(coordinator)(1),
      checkpoint: coordinator.putCheckpoint(`model ${n}`),
    };
    stream.lease(n, operation);
    expect((await stream.result()).outcome.kind).toBe("tensors");
    children.add(worker.childPid!);
  }
  expect(children.size).toBe(3);
  expect(stream.left("childDied")).toBe(0);
});

test("a full outbox stops credit until results are accepted", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator, { leases: 2, outboxResults: 2 });
  const stream = await coordinator.stream();
  stream.accepts = false;
  await stream.creditOf(2);
  const fingerprints = [stream.lease(1, score(1)), stream.lease(2, score(2))];
  await stream.result();
  await stream.result();
  await stream.take("heartbeat", ({ heartbeat }) => heartbeat.leaseIds.length === 2);
  expect(stream.credit).toBeLessThan(2);

  for (const fingerprint of fingerprints) stream.accept(fingerprint);
  await stream.creditOf(2);
  await stream.take("heartbeat", ({ heartbeat }) => heartbeat.leaseIds.length === 0);
});

test("a worker whose child cannot start fails after some tries", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const worker = await startTestWorker(coordinator, { childEntry: "no-such-child.js" });
  expect(await worker.done).toEqual({ kind: "failed", reason: "inference child: exit code 1" });
});

test("a worker whose device cannot be used fails with the reason", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const worker = await startTestWorker(coordinator, { engineOptions: { unusable: "no such device" } });
  expect(await worker.done).toEqual({ kind: "failed", reason: "inference child: no such device" });
});

test("a worker that is refused ends with the reason, and its child with it", async () => {
  const coordinator = await ScriptedCoordinator.start();
  coordinator.refuses = "another program version";
  const worker = await startTestWorker(coordinator);
  await eventually(() => worker.childPid !== undefined, "a child");
  const child = worker.childPid!;
  expect(await worker.done).toEqual({
    kind: "refused",
    reason: `${coordinator.address} refused this worker: another program version`,
  });
  expect(isRunning(child)).toBe(false);
});
