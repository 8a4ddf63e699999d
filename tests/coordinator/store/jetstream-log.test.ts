import { once } from "node:events";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import {
  StoreDamagedError,
  StoreFullError,
  StoreUnreachableError,
} from "../../../coordinator/store/errors.ts";
import { type JetStreamLogOptions, openJetStreamLog } from "../../../coordinator/store/jetstream-log.ts";
import type { Log } from "../../../coordinator/store/log.ts";
import { startNatsServer, type TestNatsServer } from "../../support/nats-server.ts";
import { jetStreamOptions, onNats, records, replayed } from "../../support/store-places.ts";
import { expectWhole, startStoreWriter } from "../../support/store-writer.ts";

let nats: TestNatsServer;
beforeAll(async () => {
  nats = await startNatsServer({ endsWithTest: false });
});
afterAll(() => nats.stop());

const streamOf = ({ name }: JetStreamLogOptions) => `ELIBAD_LOG_${name}`;

async function open(options: JetStreamLogOptions): Promise<Log> {
  const log = await openJetStreamLog(options);
  onTestFinished(() => log.close());
  return log;
}

test("a standby hears who leads, and leads once the lease of one that was killed is over", async () => {
  const { leaseMs: _, ...stream } = jetStreamOptions(nats.url);
  const writer = startStoreWriter({ stream: { ...stream, address: "first:7070" } });
  await writer.acked(3);
  const heard: string[] = [];
  const standby = open({ ...stream, address: "second:7070", onLeader: (address) => heard.push(address) });
  await expect.poll(() => heard).toEqual(["first:7070"]);
  await writer.kill();
  const log = await standby;
  expect(log.term).toBe(2);
  await expectWhole(log, writer.lastAcked!);
});

test("a leader that gives its term back is replaced at once", async () => {
  const options = { ...jetStreamOptions(nats.url), leaseMs: 90_000 };
  const first = await open(options);
  await first.append([1]);
  const heard: string[] = [];
  const second = open({ ...options, onLeader: (address) => heard.push(address) });
  await expect.poll(() => heard).toEqual(["here:1"]);
  const start = performance.now();
  await first.close();
  expect(await replayed(await second)).toEqual(records(1, 1));
  expect(performance.now() - start).toBeLessThan(45_000);
});

test("a leader that was paused past its lease is fenced, and hears that it lost its term", async () => {
  const options = jetStreamOptions(nats.url);
  const writer = startStoreWriter({ stream: options });
  await writer.acked(3);
  writer.process.kill("SIGSTOP");
  const log = await open(options);
  const last = await log.append([{ n: log.last + 1, k: 0, of: 1 }]);
  const exit = once(writer.process, "exit");
  writer.process.kill("SIGCONT");
  expect(await exit).toEqual([3, null]);
  expect(writer.lines.slice(-2)).toEqual(["FencedError", "lost"]);
  expect(log.last).toBe(last);
  await expectWhole(log, last);
});

test("of two that open a new log at the same time, one leads; the other one when that is over", async () => {
  const options = jetStreamOptions(nats.url);
  const opening = ["one", "two"].map(async (address) => ({
    address,
    log: await open({ ...options, address }),
  }));
  const first = await Promise.race(opening);
  await first.log.append([first.address]);
  await first.log.close();
  const [one, two] = await Promise.all(opening);
  const second = first === one ? two! : one!;
  expect([first.log.term, second.log.term]).toEqual([1, 2]);
  expect(await replayed(second.log)).toEqual(records(1, first.address));
});

test("one that stops waiting for the lead leaves nothing behind", async () => {
  const options = jetStreamOptions(nats.url);
  const log = await open(options);
  const stop = new AbortController();
  const standby = openJetStreamLog({
    ...options,
    signal: stop.signal,
    onLeader: () => stop.abort(new Error("enough")),
  });
  await expect(standby).rejects.toThrow("enough");
  expect(await log.append([1])).toBe(1);
});

test("a writer that is killed in the middle of an append of several messages leaves no half of it", async () => {
  const options = { ...jetStreamOptions(nats.url), leaseMs: 300 };
  let halves = 0;
  // On a slow machine an append may end before the kill comes.
  for (let seed = 1; seed <= 12 && halves < 3; seed++) {
    const writer = startStoreWriter({ stream: options, seed, pad: 1_500_000 });
    await writer.acked(1);
    // Early enough in an append that it cannot end before the kill.
    while ((await missingParts(options)) < 3);
    await writer.kill();
    if ((await missingParts(options)) > 0) halves++;
    const log = await openJetStreamLog(options);
    await expectWhole(log, writer.lastAcked!);
    await log.append([{ n: log.last + 1, k: 0, of: 1 }]);
    await expectWhole(log, log.last);
    await log.close();
  }
  expect(halves).toBeGreaterThan(0);
});

/** How many messages the stream's last entry lacks. */
const missingParts = (options: JetStreamLogOptions): Promise<number> =>
  onNats(nats.url, async (connection) => {
    const manager = await connection.jetstreamManager();
    const query = { last_by_subj: `elibad.log.${options.name}` };
    const message = await manager.streams.getMessage(streamOf(options), query);
    const [part, parts] = message.header.get("Elibad-Entry").split(" ").slice(-2).map(Number);
    return parts! - part!;
  });

test("a stream that is full refuses an append whole, by its name, and takes a smaller one", async () => {
  const options = { ...jetStreamOptions(nats.url), maxBytes: 3_000_000 };
  const log = await open(options);
  await log.append(["fits"]);
  await expect(log.append(["x".repeat(4_000_000)])).rejects.toThrow(StoreFullError);
  await expect(log.append(["x".repeat(4_000_000)])).rejects.toThrow(
    `stream ${streamOf(options)} at ${nats.url}: does not take more: maximum bytes exceeded`,
  );
  // Two of its messages are there, and count for nothing.
  expect(await log.append(["after"])).toBe(2);
  expect(await replayed(log)).toEqual(records(1, "fits", "after"));
  await log.snapshot("small");
  expect(await log.append(["y".repeat(2_000_000)])).toBe(3);
});

test("messages that are missing, or are no log's, are named", async () => {
  const options = jetStreamOptions(nats.url);
  const log = await open(options);
  for (let k = 1; k <= 5; k++) await log.append([k]);
  await onNats(nats.url, async (connection) => {
    const manager = await connection.jetstreamManager();
    await manager.streams.deleteMessage(streamOf(options), 4);
  });
  await expect(replayed(log)).rejects.toThrow(StoreDamagedError);
  await expect(replayed(log)).rejects.toThrow(/: message 4 is missing/);
  await log.close();
  await onNats(nats.url, async (connection) => {
    await connection.jetstream().publish(`elibad.log.${options.name}`, "hello");
  });
  await expect(openJetStreamLog(options)).rejects.toThrow(/: message 7 is not of a log/);
});

test("a server that cannot be had is named, without the password", async () => {
  const opening = openJetStreamLog({ url: "nats://me:secret@127.0.0.1:1", name: "lab", address: "here:1" });
  await expect(opening).rejects.toThrow(StoreUnreachableError);
  await expect(opening).rejects.toThrow(/^stream ELIBAD_LOG_lab at nats:\/\/127.0.0.1:1: /);
  await expect(openJetStreamLog({ url: nats.url, name: "a.b", address: "here:1" })).rejects.toThrow(
    "'a.b' cannot name a log",
  );
});
