import { randomUUID } from "node:crypto";
import { connect } from "nats";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { NatsResults } from "../../../coordinator/gather/nats-results.ts";
import { natsConnectionOptions } from "../../../proto/nats-connection.ts";
import { decodeResultEnvelope } from "../../../proto/result-envelope.ts";
import { resultSubject } from "../../../proto/subjects.ts";
import { startNatsServer } from "../../support/nats-server.ts";
import { diligent, eventually, scriptedWorker, tile } from "../../support/scripted-worker.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { broker } from "./broker.ts";

const server = broker();

describe("NATS", () => {
  test("a server that goes down and comes back, with its store or without, costs nothing", async () => {
    const own = await startNatsServer();
    const connection = await connect(natsConnectionOptions(own, { name: "test-workers-2", inbox: "_INBOX" }));
    onTestFinished(() => connection.close());
    const coordinator = await startCoordinator({
      protection: "plain",
      artifactFolder: tempFolder(),
      drainMs: 100,
      nats: { url: own.url },
    });
    onTestFinished(() => coordinator.close());
    const outbox: { readonly subject: string; readonly bytes: Uint8Array }[] = [];
    const worker = scriptedWorker(coordinator.address, {
      id: "w1",
      credit: 4,
      answer: diligent,
      publish: (subject, bytes) => void outbox.push({ subject, bytes }),
    });
    // What a worker's outbox does: it sends again what the coordinator, not the broker, does not have yet.
    const sending = setInterval(() => {
      for (const { subject, bytes } of outbox) {
        if (worker.accepted.includes(decodeResultEnvelope(bytes).fingerprint)) continue;
        connection
          .jetstream()
          .publish(subject, bytes, { msgID: randomUUID(), timeout: 500 })
          .catch(() => {});
      }
    }, 100);
    onTestFinished(() => clearInterval(sending));
    const ask = (from: number) =>
      coordinator.executor.execute(Array.from({ length: 10 }, (_, i) => tile(from + i)));
    const values = async (from: number) => (await ask(from)).map(({ tensors }) => tensors.logits?.data[0]);
    const expected = (from: number) => Array.from({ length: 10 }, (_, i) => from + i + 1);

    expect(await values(0)).toEqual(expected(0));
    await own.kill();
    const during = values(100);
    await own.restart();
    expect(await during).toEqual(expected(100));
    await own.restart({ freshStore: true });
    expect(await values(200)).toEqual(expected(200));
    expect(
      await coordinator.metrics.registry.getSingleMetricAsString("elibad_coordinator_nats_reconnects_total"),
    ).toMatch(/_total [12]$/m);
    expect(worker.leases).toHaveLength(30);
  });

  test("a result that takes long to read keeps no other one back", async () => {
    let read = () => {};
    const received: string[] = [];
    const results = await NatsResults.open({
      url: server.url,
      coordinatorId: "slow",
      isDurable: false,
      receive: (bytes) => {
        const text = Buffer.from(bytes).toString();
        received.push(text);
        if (text === "slow")
          return new Promise<void>((resolve) => {
            read = resolve;
          });
      },
      onLag: () => {},
      onReconnect: () => {},
      onRefused: () => {},
      logger: pino({ level: "silent" }),
    });
    await server.publish(resultSubject("slow", "w1"), Buffer.from("slow"));
    await server.publish(resultSubject("slow", "w1"), Buffer.from("quick"));
    await eventually(() => received.length === 2);
    expect(received).toEqual(["slow", "quick"]);
    read();
    await results.close();
  });

  test("a coordinator that is started twice under one id finds stream and consumer as they are", async () => {
    const start = () =>
      startCoordinator({
        protection: "plain",
        artifactFolder: tempFolder(),
        coordinatorId: "again",
        nats: { url: server.url },
      });
    await (await start()).close();
    const coordinator = await start();
    onTestFinished(() => coordinator.close());
    scriptedWorker(coordinator.address, {
      id: "w1",
      credit: 1,
      answer: diligent,
      publish: (subject, bytes) => void server.publish(subject, bytes),
    });
    expect(await coordinator.executor.execute([tile(1)])).toHaveLength(1);
  });

  test("a server that cannot be reached is an error that names it", async () => {
    await expect(
      startCoordinator({
        protection: "plain",
        artifactFolder: tempFolder(),
        nats: { url: "nats://127.0.0.1:1" },
      }),
    ).rejects.toThrow("results through NATS at nats://127.0.0.1:1: CONNECTION_REFUSED");
  });
});
