import { describe, expect, onTestFinished, test } from "vitest";
import { connectToCoordinator } from "../../../proto/client.ts";
import { fingerprintOf } from "../../../proto/operation-codec.ts";
import type { Operation } from "../../../proto/operations.ts";
import {
  diligent,
  eventually,
  rightAnswer,
  type ScriptedWorker,
  scriptedWorker,
  tile,
} from "../../support/scripted-worker.ts";
import { firstLogit, metric, start } from "./coordinator-scene.ts";

test("results come in the order of the operations, whoever computes them and when", async () => {
  const coordinator = await start();
  for (const id of ["w1", "w2"]) {
    scriptedWorker(coordinator.address, {
      id,
      credit: 3,
      answer: (lease, worker) => void setTimeout(() => diligent(lease, worker), Math.random() * 5),
    });
  }
  const results = await coordinator.executor.execute(Array.from({ length: 40 }, (_, i) => tile(i)));
  expect(firstLogit(results)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  expect(results[0]).toMatchObject({ forwards: 3, tokens: 30, seconds: 0.001 });
});

test("equal operations, also of two calls at once, are computed once", async () => {
  const coordinator = await start();
  const worker = scriptedWorker(coordinator.address, { id: "w1", credit: 10 });
  const both = [coordinator.executor.execute([tile(1), tile(1)]), coordinator.executor.execute([tile(1)])];
  worker.give((await worker.lease()).fingerprint, rightAnswer(tile(1)));
  expect((await Promise.all(both)).map(firstLogit)).toEqual([[2, 2], [2]]);
  expect(worker.leases).toHaveLength(1);
});

test("a worker that is killed in the middle costs only its leases", async () => {
  const coordinator = await start({ dispatch: { moveAfterMs: 60_000, speculateFactor: 0 } });
  const doomed = scriptedWorker(coordinator.address, { id: "doomed", credit: 4 });
  const running = coordinator.executor.execute(Array.from({ length: 12 }, (_, i) => tile(i)));
  await doomed.lease(4);
  const good = scriptedWorker(coordinator.address, { id: "good", credit: 2, answer: diligent });
  await eventually(() => good.accepted.length === 8);
  doomed.die();
  expect(firstLogit(await running)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
  expect(good.leases).toHaveLength(12);
  expect(await metric(coordinator, 'elibad_coordinator_leases_ended_total{reason="lost"}')).toBe(4);
});

test("leases never exceed the credit that was given", async () => {
  const coordinator = await start();
  const worker = scriptedWorker(coordinator.address, { id: "w1", credit: 2 });
  const running = coordinator.executor
    .execute([tile(1), tile(2), tile(3)])
    .catch((error: Error) => error.name);
  await worker.lease(2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(worker.leases).toHaveLength(2);
  worker.credit(1);
  await worker.lease(3);
  await coordinator.close();
  expect(await running).toBe("CoordinatorClosedError");
});

test("a worker that does not read gets no more than its stream takes, whatever credit it gave", async () => {
  const coordinator = await start();
  const slow = scriptedWorker(coordinator.address, { id: "slow", credit: 500 });
  await eventually(() => slow.welcome);
  slow.stream.pause();
  // About 15 MB in all; connection windows and socket buffers take a part of it.
  const operations = Array.from({ length: 60 }, (_, i): Operation => {
    const gradient = [new Float32Array(60_000)];
    return { kind: "rank", checkpoint: "c".repeat(64), vocabulary: "d".repeat(64), gradient, topk: i + 1 };
  });
  // One a turn, so that the stream can say in between that it is full.
  const running: Promise<unknown>[] = [];
  for (const operation of operations) {
    running.push(coordinator.executor.execute([operation]));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(coordinator.workers()[0]!.leases).toBeLessThan(60);
  slow.answer = ({ fingerprint }, worker) =>
    worker.give(fingerprint, {
      ids: { shape: [1, 1], data: Int32Array.of(7) },
      values: { shape: [1, 1], data: Float32Array.of(0) },
    });
  slow.stream.resume();
  await Promise.all(running);
  expect(slow.leases).toHaveLength(60);
});

test("a hung worker's lease expires, is cancelled, and its late result is accepted and used by nobody", async () => {
  const coordinator = await start({ dispatch: { leaseMs: 1_000, heartbeatMs: 100 } });
  const hung = scriptedWorker(coordinator.address, { id: "hung", credit: 1, beats: false });
  const running = coordinator.executor.execute([tile(1)]);
  const { leaseId, fingerprint } = await hung.lease();
  scriptedWorker(coordinator.address, { id: "good", credit: 1, answer: diligent });
  expect(firstLogit(await running)).toEqual([2]);
  await eventually(() => hung.cancelled.length > 0);
  expect(hung.cancelled).toEqual([leaseId]);
  hung.give(fingerprint, rightAnswer(tile(1)));
  await eventually(() => hung.accepted.includes(fingerprint));
  expect(await metric(coordinator, 'elibad_coordinator_results_total{path="stream",fate="unneeded"}')).toBe(
    1,
  );
});

test("heartbeats keep a long lease", async () => {
  const coordinator = await start({ dispatch: { leaseMs: 3_000, heartbeatMs: 100 } });
  const slow = scriptedWorker(coordinator.address, { id: "slow", credit: 1 });
  const running = coordinator.executor.execute([tile(1)]);
  const { fingerprint } = await slow.lease();
  await new Promise((resolve) => setTimeout(resolve, 7_000));
  slow.give(fingerprint, rightAnswer(tile(1)));
  await running;
  expect(slow.cancelled).toEqual([]);
});

test("an abort cancels the leases, and the executor goes on with the next call", async () => {
  const coordinator = await start();
  const worker = scriptedWorker(coordinator.address, { id: "w1", credit: 1 });
  const abort = new AbortController();
  const running = coordinator.executor.execute([tile(1), tile(2)], abort.signal);
  const { leaseId } = await worker.lease();
  abort.abort(new Error("the user pressed Ctrl-C"));
  await expect(running).rejects.toThrow("the user pressed Ctrl-C");
  await eventually(() => worker.cancelled.includes(leaseId));
  worker.answer = diligent;
  worker.credit(1);
  expect(firstLogit(await coordinator.executor.execute([tile(2)]))).toEqual([3]);
});

test("an operation whose child dies three times fails alone, with the reason; the others finish", async () => {
  const coordinator = await start();
  const answer = (lease: Parameters<typeof diligent>[0], worker: ScriptedWorker) => {
    if (lease.fingerprint !== fingerprintOf(tile(666))) return diligent(lease, worker);
    worker.send({ message: "childDied", childDied: { leaseId: lease.leaseId, reason: "killed by SIGSEGV" } });
    worker.credit(1);
  };
  scriptedWorker(coordinator.address, { id: "w1", credit: 3, answer });
  scriptedWorker(coordinator.address, { id: "w2", credit: 3, answer });
  const others = coordinator.newExecutor().execute([tile(1), tile(2), tile(3), tile(4)]);
  await expect(coordinator.executor.execute([tile(666)])).rejects.toThrow(
    /^operation score [0-9a-f]{12}: the inference process died 3 times while it ran \(on w[12]: killed by SIGSEGV/,
  );
  expect(firstLogit(await others)).toEqual([2, 3, 4, 5]);
});

describe("addresses", () => {
  test("an address in use is told by name", async () => {
    const { address } = await start();
    await expect(start({ listen: address })).rejects.toThrow(
      `cannot listen on ${address}: the address is in use, perhaps by another coordinator`,
    );
    await expect(start({ metrics: { port: Number(address.split(":")[1]) } })).rejects.toThrow("in use");
  });

  test("in plain text only this machine's own addresses are used", async () => {
    await expect(start({ listen: "0.0.0.0:0" })).rejects.toThrow(
      "cannot listen on 0.0.0.0:0: other machines reach",
    );
    await expect(start({ listen: "example" })).rejects.toThrow("it is not host:port");
  });

  test("metrics, health and readiness are served", async () => {
    const coordinator = await start({ metrics: { port: 0 } });
    const worker = scriptedWorker(coordinator.address, { id: "w1", credit: 1, answer: diligent });
    await coordinator.executor.execute([tile(1)]);
    expect(coordinator.workers()).toMatchObject([{ workerId: "w1", tokensPerSecond: 30_000 }]);
    const get = async (path: string) => (await fetch(`http://${coordinator.metricsAddress}${path}`)).text();
    expect(await get("/readyz")).toBe("ready: leader\n");
    const text = await get("/metrics");
    for (const line of [
      'elibad_coordinator_operations_total{kind="score",outcome="done"} 1',
      'elibad_coordinator_workers{state="active"} 1',
      "elibad_coordinator_forwards_total 3",
      "elibad_coordinator_leases 0",
      'elibad_coordinator_worker_tokens_per_second{worker="w1"} 30000',
    ]) {
      expect(text).toContain(line);
    }
    await worker.leave();
    await eventually(() => coordinator.workers().length === 0);
    expect(await get("/metrics")).not.toContain('worker="w1"');
  });
});

test("a coordinator that closes asks its workers to leave and waits for their goodbyes", async () => {
  const coordinator = await start({ drainMs: 5_000 });
  const worker = scriptedWorker(coordinator.address, { id: "w1", credit: 1 });
  await eventually(() => worker.welcome);
  await coordinator.close();
  expect(worker.isDrained).toBe(true);
});

test("a coordinator without commands refuses Submit", async () => {
  const { address } = await start();
  const client = connectToCoordinator(address, "plain");
  onTestFinished(() => client.close());
  const error = await new Promise<Error>((resolve) =>
    client.submit({ command: "scan", optionsJson: "{}" }).on("error", resolve).resume(),
  );
  expect(error.message).toContain("UNIMPLEMENTED");
});

test("a submitted command streams its events, and its client's leaving cancels it", async () => {
  let cancelled = false;
  const coordinator = await start({
    submit: async ({ command, optionsJson }, emit, signal) => {
      emit({ event: "line", line: `${command} ${optionsJson}` });
      if (command === "predict") return emit({ event: "resultJson", resultJson: "{}" });
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      cancelled = true;
    },
  });
  const client = connectToCoordinator(coordinator.address, "plain");
  onTestFinished(() => client.close());
  const events: unknown[] = [];
  for await (const event of client.submit({ command: "predict", optionsJson: "{}" })) events.push(event);
  expect(events).toMatchObject([{ line: "predict {}" }, { resultJson: "{}" }]);
  const scan = client.submit({ command: "scan", optionsJson: "{}" }).on("error", () => {});
  await new Promise((resolve) => scan.once("data", resolve));
  scan.cancel();
  await eventually(() => cancelled);
});
