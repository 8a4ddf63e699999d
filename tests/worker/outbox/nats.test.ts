import { connect } from "nats";
import { expect, onTestFinished, test } from "vitest";
import { decodeResultEnvelope } from "../../../proto/result-envelope.ts";
import { RESULT_STREAM_CONFIG, resultSubject } from "../../../proto/subjects.ts";
import { startNatsServer, type TestNatsServer } from "../../support/nats-server.ts";
import { ScriptedCoordinator } from "../../support/scripted-coordinator.ts";
import { eventually, scoreOperations, startTestWorker } from "../../support/worker-scenes.ts";

const subject = resultSubject("c1", "w1");

/** Messages of the results' stream, as they are stored. */
async function subscribe(server: TestNatsServer) {
  const connection = await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  onTestFinished(() => connection.close());
  const manager = await connection.jetstreamManager();
  await manager.streams.add(RESULT_STREAM_CONFIG);
  const taken: { readonly id: string | undefined; readonly fingerprint: string }[] = [];
  connection.subscribe(subject, {
    callback: (_, { data, headers }) =>
      taken.push({ id: headers?.get("Nats-Msg-Id"), fingerprint: decodeResultEnvelope(data).fingerprint }),
  });
  await connection.flush();
  return taken;
}

test("with NATS, results go through JetStream, and over the worker's stream while the server is away", async () => {
  const server = await startNatsServer();
  const taken = await subscribe(server);
  const coordinator = await ScriptedCoordinator.start();
  coordinator.welcome = { ...coordinator.welcome, natsUrl: server.url, resultSubject: subject };
  const score = scoreOperations(coordinator);
  const worker = await startTestWorker(coordinator, { metricsPort: 0 });
  const stream = await coordinator.stream();
  stream.accepts = false;
  const natsConnected = async () => {
    // Until the publisher is connected results come over the stream; each probe is another operation.
    for (let sample = 100; taken.length === 0; sample++) {
      const fingerprint = stream.lease(sample, score(sample));
      await eventually(() => taken.length + stream.left("resultEnvelopes") > 0, "a result");
      if (taken.length === 0) await stream.result();
      stream.accept(fingerprint);
    }
  };
  await natsConnected();
  taken.length = 0;

  const first = stream.lease(1, score(1));
  await eventually(() => taken.length === 1, "a result through NATS");
  expect(taken).toMatchObject([{ id: expect.stringContaining(`${first}.w1.`), fingerprint: first }]);
  // JetStream's acknowledgement is not the coordinator's word: the lease is still renewed.
  await stream.take("heartbeat", ({ heartbeat }) => heartbeat.leaseIds.includes(1));
  stream.accept(first);

  await server.kill();
  const second = stream.lease(2, score(2));
  expect((await stream.result()).fingerprint).toBe(second);
  stream.accept(second);

  await server.restart();
  const reconnects = async () => {
    const text = await (await fetch(`http://${worker.metricsAddress}/metrics`)).text();
    return Number(/^elibad_worker_nats_reconnects_total (\d+)$/m.exec(text)?.[1]);
  };
  while ((await reconnects()) === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  const third = stream.lease(3, score(3));
  await eventually(
    () => taken.some(({ fingerprint }) => fingerprint === third),
    "a result through NATS again",
  );
  stream.accept(third);
});

test("a server that never answers does not keep results back", async () => {
  const coordinator = await ScriptedCoordinator.start();
  coordinator.welcome = { ...coordinator.welcome, natsUrl: "nats://127.0.0.1:9", resultSubject: subject };
  const score = scoreOperations(coordinator);
  await startTestWorker(coordinator);
  const stream = await coordinator.stream();
  const fingerprint = stream.lease(1, score(1));
  expect((await stream.result()).fingerprint).toBe(fingerprint);
});
