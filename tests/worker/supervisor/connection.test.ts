import { expect, test } from "vitest";
import { pauseMs } from "../../../worker/supervisor/dial-forever.ts";
import { ScriptedCoordinator } from "../../support/scripted-coordinator.ts";
import { eventually, scoreOperations, startTestWorker } from "../../support/worker-scenes.ts";

test("after a broken stream the worker dials again, and sends what was not accepted", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator);
  const first = await coordinator.stream();
  first.accepts = false;
  const fingerprint = first.lease(1, score(1));
  await first.result();
  first.break();

  const second = await coordinator.stream(1);
  expect(second.hello.cachedCheckpoints).toHaveLength(1);
  expect((await second.result()).fingerprint).toBe(fingerprint);
  await second.creditOf(4);
  const { heartbeat } = await second.take("heartbeat");
  expect(heartbeat.leaseIds).toEqual([]);
});

test("an operation that runs when the stream breaks is finished, and a new lease takes it over", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  const worker = await startTestWorker(coordinator, { engineOptions: { delayMs: 6_000 } });
  const first = await coordinator.stream();
  const child = worker.childPid;
  first.lease(1, score(1));
  first.lease(2, score(2));
  await first.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 1);
  first.break();

  const second = await coordinator.stream(1);
  const fingerprint = second.lease(21, score(1));
  await second.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 21);
  expect((await second.result()).fingerprint).toBe(fingerprint);
  // Lease 2 had not begun: it ended with its stream.
  await second.creditOf(4);
  expect(second.left("resultEnvelopes")).toBe(0);
  expect(worker.childPid).toBe(child);
});

test("a lease for a result that still waits is answered with it", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator);
  const stream = await coordinator.stream();
  stream.accepts = false;
  stream.lease(1, score(1));
  const before = await stream.result();
  stream.lease(2, score(1));
  expect(await stream.result()).toEqual(before);
  await stream.take("heartbeat", ({ heartbeat }) => heartbeat.leaseIds.join() === "2");
});

test("a result that is not accepted in time is sent again", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator, { resendMs: 200 });
  const stream = await coordinator.stream();
  stream.accepts = false;
  const fingerprint = stream.lease(1, score(1));
  await stream.result();
  expect((await stream.result()).fingerprint).toBe(fingerprint);
  stream.accept(fingerprint);
});

test("a worker that is there before its coordinator waits, and tries every address", async () => {
  const reserved = await ScriptedCoordinator.start();
  const { port } = reserved;
  await reserved.stop();
  const worker = await startTestWorker("127.0.0.1:9", {
    coordinators: ["127.0.0.1:9", `127.0.0.1:${port}`],
  });
  await eventually(() => worker.state.kind === "connecting", "dialling");
  const coordinator = await ScriptedCoordinator.start(port);
  await coordinator.stream();
  await eventually(() => worker.state.kind === "serving", "a stream");
});

test("drain gives back what has not begun, finishes what runs, and says Goodbye last", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  const worker = await startTestWorker(coordinator, { engineOptions: { delayMs: 3_000 }, drainMs: 60_000 });
  const stream = await coordinator.stream();
  const fingerprint = stream.lease(1, score(1));
  stream.lease(2, score(2));
  stream.lease(3, score(3));
  await stream.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 1);
  worker.drain("rolling update");

  expect((await stream.take("draining")).draining.returnedLeaseIds).toEqual([2, 3]);
  stream.lease(4, score(4)); // it was on its way
  expect((await stream.take("draining")).draining.returnedLeaseIds).toEqual([4]);
  expect((await stream.result()).fingerprint).toBe(fingerprint);
  await stream.take("goodbye");
  expect(await worker.done).toEqual({ kind: "stopped", reason: "rolling update" });
});

test("a coordinator that drains its workers gets a Goodbye, and is dialled again", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const worker = await startTestWorker(coordinator);
  const stream = await coordinator.stream();
  await stream.take("heartbeat");
  stream.send({ message: "drain", drain: { reason: "the coordinator closes" } });
  expect((await stream.take("goodbye")).goodbye.reason).toBe("the coordinator closes");
  await coordinator.stream(1);
  await eventually(() => worker.state.kind === "serving", "a stream");
});

test("drain gives back what runs too long", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  const worker = await startTestWorker(coordinator, { engineOptions: { delayMs: 300_000 }, drainMs: 1_200 });
  const stream = await coordinator.stream();
  stream.lease(1, score(1));
  await stream.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 1);
  worker.drain("SIGTERM");
  expect((await stream.take("draining")).draining.returnedLeaseIds).toEqual([]);
  expect((await stream.take("draining")).draining.returnedLeaseIds).toEqual([1]);
  await stream.take("goodbye");
  await worker.done;
});

test("pauses between rounds over the addresses grow to a bound and differ between workers", () => {
  expect([0, 1, 2, 9].map((round) => pauseMs(round, () => 0.5))).toEqual([100, 200, 400, 3_000]);
  expect(pauseMs(9, () => 0)).toBe(1_500);
});

test("a worker that a standby answers dials the leader that it names, also one that is not among its addresses", async () => {
  const [standby, leader] = [await ScriptedCoordinator.start(), await ScriptedCoordinator.start()];
  standby.leader = leader.address;
  const worker = await startTestWorker(standby);
  await leader.stream();
  expect(standby.turnedAway).toBe(1);
  await eventually(() => worker.state.kind === "serving", "a stream");
  expect(worker.state).toMatchObject({ address: leader.address });
});

test("where the leader that is named is gone, or is no address, the worker goes on with its own list", async () => {
  const standby = await ScriptedCoordinator.start();
  for (const named of ["127.0.0.1:9", "", "http://somewhere/x y:1", standby.address]) {
    standby.leader = named;
    const turnedAway = standby.turnedAway;
    const worker = await startTestWorker(standby, { id: `w${turnedAway}` });
    await eventually(() => standby.turnedAway >= turnedAway + 3, "further attempts", 30_000);
    expect(worker.state.kind).toBe("connecting");
    worker.drain("the next one");
    await worker.done;
  }
  standby.leader = undefined;
  await startTestWorker(standby, { id: "last" });
  await standby.stream();
});

test("a worker whose coordinator leads no more goes to the next leader at once, and what it computes is not lost", async () => {
  const [first, second] = [await ScriptedCoordinator.start(), await ScriptedCoordinator.start()];
  const score = scoreOperations(first);
  scoreOperations(second);
  await startTestWorker(first, { engineOptions: { delayMs: 1_500 } });
  const stream = await first.stream();
  const fingerprint = stream.lease(1, score(1));
  await stream.take("heartbeat", (each) => each.heartbeat.runningLeaseId === 1);
  stream.send({ message: "notLeader", notLeader: { address: second.address } });
  stream.close();

  const next = await second.stream();
  next.lease(21, score(1));
  expect((await next.result()).fingerprint).toBe(fingerprint);
});
