import { describe, expect, test } from "vitest";
import { startNatsServer, type TestNatsServer } from "../../support/nats-server.ts";
import { noOrphans } from "../../support/processes.ts";
import { eventually } from "../../support/worker-scenes.ts";
import { zeroComputeCluster } from "../../support/zero-compute-cluster.ts";

/** What a busy machine gets for its own part. */
const SLACK_MS = 8_000;

describe.each([
  { way: "over its stream", drainMs: 4_000 },
  { way: "through NATS, which is down", drainMs: 10_000 },
])("results go $way", ({ way, drainMs }) => {
  const nats = async () => (way.includes("NATS") ? await startNatsServer() : undefined);

  test(`a worker in a long operation gives it back and is gone ${drainMs / 1_000} s after SIGTERM; another one does it`, async () => {
    const server = await nats();
    const { coordinator, score, start, leasesOf } = await zeroComputeCluster(server?.url);
    const { executor } = coordinator;
    const worker = await start("w1", { delayMs: 600_000, drainMs });
    const child = await worker.childPid();
    const [running, waiting] = [executor.execute([score(1)]), executor.execute([score(2)])];
    await eventually(() => leasesOf("w1") === 2, "both leases");
    await server?.kill();
    const other = await start("w2");
    const before = performance.now();
    worker.process.kill("SIGTERM");
    // What it has not begun comes back at once, what it computes when its time is over.
    expect((await waiting)[0]!.tensors.logits!.data[0]).toBe(2);
    expect((await running)[0]!.tensors.logits!.data[0]).toBe(1);
    expect(await worker.exit()).toBe(0);
    expect(performance.now() - before).toBeLessThan(drainMs + SLACK_MS);
    await noOrphans([child]);
    expect(coordinator.workers().map(({ workerId }) => workerId)).toEqual(["w2"]);
    other.process.kill("SIGTERM");
    expect(await other.exit()).toBe(0);
  });

  test("a worker that can finish what it computes does, and its result is used", async () => {
    const server = await nats();
    await finishesWhileDraining(server, () => server?.kill());
  });
});

test("a result that is finished while NATS hangs goes over the stream before the worker is gone", async () => {
  const server = await startNatsServer();
  // NATS is waited for as long as five seconds.
  await finishesWhileDraining(server, () => server.hang(), 5_000);
});

/** A worker is told to stop in an operation that it has time for, right after something happened to NATS. */
async function finishesWhileDraining(
  server: TestNatsServer | undefined,
  happens: () => unknown,
  drainMs?: number,
): Promise<void> {
  const { coordinator, score, start, leasesOf } = await zeroComputeCluster(server?.url);
  const worker = await start("w1", { delayMs: 3_000, ...(drainMs === undefined ? {} : { drainMs }) });
  const running = coordinator.executor.execute([score(1)]);
  await eventually(() => leasesOf("w1") === 1, "the lease");
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await happens();
  worker.process.kill("SIGTERM");
  expect((await running)[0]!.tensors.logits!.data[0]).toBe(1);
  expect(await worker.exit()).toBe(0);
  const { values } = await coordinator.metrics.registry
    .getSingleMetric("elibad_coordinator_leases_ended_total")!
    .get();
  const counted = values.filter(({ value }) => value > 0);
  expect(counted.map(({ labels, value }) => [labels.reason, value])).toEqual([["result", 1]]);
}
