import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { FencedError, StoreClosedError, StoreGoneError } from "../../../coordinator/store/errors.ts";
import { openJetStreamLog } from "../../../coordinator/store/jetstream-log.ts";
import { startNatsServer } from "../../support/nats-server.ts";
import { jetStreamOptions, onNats, records, replayed } from "../../support/store-places.ts";
import { startTcpProxy } from "../../support/tcp-proxy.ts";

test("a server that is killed three times under appends loses none that was acknowledged, and holds none twice", async () => {
  const nats = await startNatsServer();
  const waits: string[] = [];
  const log = await openJetStreamLog({
    ...jetStreamOptions(nats.url),
    leaseMs: 120_000,
    log: (line) => waits.push(line),
  });
  onTestFinished(() => log.close());
  let appended = 0;
  let isOver = false;
  const writing = (async () => {
    while (!isOver) await log.append([++appended]);
  })();
  for (let kill = 0; kill < 3; kill++) {
    await pause(150);
    await nats.kill();
    const before = appended;
    await pause(250);
    // Back-pressure: whoever appends waits, and nothing piles up.
    expect(appended - before).toBeLessThanOrEqual(1);
    await nats.restart();
    await expect.poll(() => appended).toBeGreaterThan(before + 5);
  }
  isOver = true;
  await writing;
  expect(waits.some((line) => line.includes("an append waits"))).toBe(true);
  expect(await replayed(log)).toEqual(records(1, ...Array.from({ length: appended }, (_, k) => k + 1)));
});

test("an append whose answer was lost is not appended twice", async () => {
  const nats = await startNatsServer();
  const { hostname, port } = new URL(nats.url);
  const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
  const options = jetStreamOptions(nats.url);
  const log = await openJetStreamLog({ ...options, url: `nats://127.0.0.1:${proxy.port}`, leaseMs: 120_000 });
  onTestFinished(() => log.close());
  for (let k = 1; k <= 3; k++) {
    await log.append([`before ${k}`]);
    proxy.drop({ answers: true });
    const waiting = log.append([`lost ${k}`]);
    await expect.poll(() => countMessages(nats.url, options.name)).toBe(1 + 2 * k);
    // Found by a new connection, or by a repetition on the old one.
    if (k % 2 === 0) proxy.cut();
    proxy.drop({});
    await waiting;
  }
  expect(proxy.droppedBytes).toBeGreaterThan(0);
  const texts = Array.from({ length: 3 }, (_, k) => [`before ${k + 1}`, `lost ${k + 1}`]).flat();
  expect(await replayed(log)).toEqual(records(1, ...texts));
  expect(await countMessages(nats.url, options.name)).toBe(7);
});

test("a leader that was cut off is replaced, and fenced when it comes back", async () => {
  const nats = await startNatsServer();
  const { hostname, port } = new URL(nats.url);
  const proxy = await startTcpProxy({ host: hostname, port: Number(port) });
  const options = jetStreamOptions(nats.url);
  const cutOff = await openJetStreamLog({ ...options, url: `nats://127.0.0.1:${proxy.port}` });
  onTestFinished(() => cutOff.close());
  await cutOff.append(["before"]);
  proxy.drop({ requests: true });
  const waiting = expect(cutOff.append(["cut off"])).rejects.toThrow(FencedError);
  const log = await openJetStreamLog(options);
  onTestFinished(() => log.close());
  await log.append(["meanwhile"]);
  proxy.drop({});
  await Promise.all([waiting, cutOff.lost]);
  expect(proxy.droppedBytes).toBeGreaterThan(0);
  expect(await replayed(log)).toEqual(records(1, "before", "meanwhile"));
});

test("a server that lost its disk is no empty log, neither to the leader nor to its standby", async () => {
  const nats = await startNatsServer();
  const options = jetStreamOptions(nats.url);
  const log = await openJetStreamLog(options);
  onTestFinished(() => log.close());
  await log.append([1]);
  const standby = expect(openJetStreamLog(options)).rejects.toThrow(StoreGoneError);
  await pause(300);
  await nats.restart({ freshStore: true });
  await expect(log.append([2])).rejects.toThrow(StoreGoneError);
  await expect(log.append([3])).rejects.toThrow(/^stream ELIBAD_LOG_test-.*: was deleted$/);
  await standby;
});

test("closing does not wait for a server that is away", async () => {
  const nats = await startNatsServer();
  const log = await openJetStreamLog(jetStreamOptions(nats.url));
  await log.append([1]);
  await nats.kill();
  const waiting = expect(log.append([2])).rejects.toThrow(StoreClosedError);
  await pause(300);
  const start = performance.now();
  await log.close();
  await waiting;
  const tookMs = performance.now() - start;
  // What removes the stream after the test needs a server.
  await nats.restart();
  expect(tookMs).toBeLessThan(60_000);
});

const countMessages = (url: string, name: string): Promise<number> =>
  onNats(url, async (connection) => {
    const manager = await connection.jetstreamManager();
    return (await manager.streams.info(`ELIBAD_LOG_${name}`)).state.messages;
  });
