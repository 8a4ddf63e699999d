import { connect, type JetStreamManager } from "nats";
import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { NatsResults } from "../../../coordinator/gather/nats-results.ts";
import { digestOf } from "../../../proto/canonical-json.ts";
import { RESULT_STREAM, RESULT_STREAM_CONFIG, resultSubject } from "../../../proto/subjects.ts";
import { NatsPublisher } from "../../../worker/outbox/nats-publisher.ts";
import { startNatsServer, type TestNatsServer } from "../../support/nats-server.ts";
import { eventually } from "../../support/scripted-worker.ts";
import { smallDisk } from "../../support/small-disk.ts";

const KB = 1024;

async function managerOf(server: TestNatsServer): Promise<JetStreamManager> {
  const connection = await connect({ servers: server.url });
  onTestFinished(() => connection.close());
  return connection.jetstreamManager();
}

/** A worker's publisher, connected, and what it logged. */
async function publisherTo(server: TestNatsServer, workerId = "w1") {
  const lines: string[] = [];
  const publisher = new NatsPublisher({
    ...{ url: server.url, subject: resultSubject("gone", workerId), workerId },
    log: (line) => void lines.push(line),
    onReconnect() {},
    onRefused() {},
  });
  onTestFinished(() => publisher.close());
  await eventually(() => publisher.isConnected);
  return { publisher, lines };
}

/** Publishes results of 8 KB, one after the other, until one is not taken; answers how many were. */
async function publishUntilRefused(publisher: NatsPublisher, most: number): Promise<number> {
  for (let result = 0; result < most; result++)
    if (!(await publisher.publish(digestOf(String(result)), Buffer.alloc(8 * KB, result), 0))) return result;
  return most;
}

/** The first bytes of all results that a coordinator of this id finds when it comes back. */
async function gather(server: TestNatsServer, expected: number): Promise<number[]> {
  const received: number[] = [];
  const results = await NatsResults.open({
    ...{ url: server.url, coordinatorId: "gone", isDurable: true, logger: pino({ level: "silent" }) },
    receive: (bytes) => void received.push(bytes[0]!),
    onLag() {},
    onReconnect() {},
    onRefused() {},
  });
  onTestFinished(() => results.close());
  await eventually(() => received.length >= expected);
  return received;
}

const messagesIn = async (manager: JetStreamManager): Promise<number> =>
  (await manager.streams.info(RESULT_STREAM)).state.messages;

const numbers = (count: number) => Array.from({ length: count }, (_, k) => k);

test("a stream that a dead coordinator lets fill up refuses with a reason, drops nothing, and gives all it took to whoever comes back", async () => {
  const server = await startNatsServer();
  const manager = await managerOf(server);
  await manager.streams.add({ ...RESULT_STREAM_CONFIG, max_bytes: 100 * KB });
  const { publisher, lines } = await publisherTo(server);
  const taken = await publishUntilRefused(publisher, 100);
  expect(taken).toBeGreaterThan(5);
  expect(taken).toBeLessThan(13);
  expect(lines.at(-1)).toMatch(/^NATS did not take the result [0-9a-f]{12}: maximum bytes exceeded$/);
  const { state } = await manager.streams.info(RESULT_STREAM);
  expect(state.messages).toBe(taken);
  expect(state.bytes).toBeLessThanOrEqual(100 * KB);
  expect(await gather(server, taken)).toEqual(numbers(taken));
  // What was taken out makes room.
  await expect.poll(() => messagesIn(manager), { timeout: 30_000 }).toBe(0);
  expect(await publisher.publish(digestOf("again"), Buffer.alloc(8 * KB), 1)).toBe(true);
});

test("the limits are those that are documented, also of a stream that an older version made", async () => {
  const server = await startNatsServer();
  const manager = await managerOf(server);
  await manager.streams.add({ ...RESULT_STREAM_CONFIG, discard: "old" as never, max_bytes: -1, max_age: 0 });
  await gather(server, 0);
  const { config } = await manager.streams.info(RESULT_STREAM);
  expect(config).toMatchObject({
    discard: "new",
    max_bytes: 256 * KB * KB,
    max_age: 3_600e9,
    max_msg_size: KB * KB,
  });
});

test("results that nobody takes in their time go from the broker, not from the outbox", async () => {
  const server = await startNatsServer();
  const manager = await managerOf(server);
  await manager.streams.add({ ...RESULT_STREAM_CONFIG, max_age: 200e6, duplicate_window: 100e6 });
  const { publisher } = await publisherTo(server);
  expect(await publishUntilRefused(publisher, 3)).toBe(3);
  await expect.poll(() => messagesIn(manager), { timeout: 30_000 }).toBe(0);
  // Sent again, as an outbox does with what nobody accepted: it is another message.
  expect(await publishUntilRefused(publisher, 3)).toBe(3);
  expect((await gather(server, 3)).length).toBeGreaterThanOrEqual(3);
});

test("a server whose disk is full refuses, and loses nothing that it took", async (context) => {
  const disk = await smallDisk(2, context);
  const server = await startNatsServer({ disk });
  const manager = await managerOf(server);
  await manager.streams.add({ ...RESULT_STREAM_CONFIG, max_bytes: -1 });
  const { publisher, lines } = await publisherTo(server);
  const taken = await publishUntilRefused(publisher, 400);
  expect(taken).toBeGreaterThan(50);
  expect(taken).toBeLessThan(400);
  expect(lines.at(-1)).toMatch(/^NATS did not take the result [0-9a-f]{12}: /);
  const { state } = await manager.streams.info(RESULT_STREAM);
  expect(state.messages).toBeGreaterThanOrEqual(taken);
});
