import { expect, test } from "vitest";
import { ScriptedCoordinator } from "../../support/scripted-coordinator.ts";
import { DIES, eventually, FAILS, scoreOperations, startTestWorker } from "../../support/worker-scenes.ts";

test("a worker's metrics tell what it did, and it is ready while a coordinator has it", async () => {
  const coordinator = await ScriptedCoordinator.start();
  const score = scoreOperations(coordinator);
  const worker = await startTestWorker(coordinator, { metricsPort: 0 });
  const get = async (path: string) => {
    const response = await fetch(`http://${worker.metricsAddress}${path}`);
    return { status: response.status, text: await response.text() };
  };
  expect((await get("/healthz")).status).toBe(200);
  const stream = await coordinator.stream();
  await stream.take("heartbeat");
  expect(await get("/readyz")).toEqual({ status: 200, text: "ready\n" });

  stream.lease(1, { ...score(1), triggers: [[1], [2], [3]] });
  await stream.result();
  stream.accepts = false;
  stream.lease(2, score(FAILS));
  await stream.result();
  stream.lease(3, score(DIES));
  await stream.take("childDied");

  const { text } = await get("/metrics");
  const metrics = new Map(
    text
      .split("\n")
      .filter((line) => line.startsWith("elibad_worker_"))
      .map((line) => line.split(" ") as [string, string]),
  );
  expect(Object.fromEntries(metrics)).toMatchObject({
    'elibad_worker_operations_total{kind="score",outcome="done"}': "1",
    'elibad_worker_operations_total{kind="score",outcome="failed"}': "1",
    'elibad_worker_operations_total{kind="score",outcome="died"}': "1",
    'elibad_worker_operation_seconds_count{kind="score"}': "1",
    'elibad_worker_device{provider="none"}': "1",
    elibad_worker_forwards_total: "3",
    elibad_worker_tokens_total: "3",
    elibad_worker_outbox_results: "1",
    elibad_worker_connected: "1",
    'elibad_worker_state{state="serving"}': "1",
    'elibad_worker_state{state="connecting"}': "0",
    'elibad_worker_child_restarts_total{cause="died"}': "1",
    elibad_worker_cache_misses_total: "3",
    elibad_worker_cache_hits_total: "6",
    elibad_worker_nats_reconnects_total: "0",
  });
  expect(text).toContain("process_resident_memory_bytes");

  await coordinator.stop();
  await eventually(() => worker.state.kind === "connecting", "the loss of the coordinator");
  expect(await get("/readyz")).toEqual({ status: 503, text: "connecting\n" });
});
