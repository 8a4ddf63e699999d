import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { createUser, encodeUser, fromSeed } from "@nats-io/jwt";
import type { JetStreamManager, KV, NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renewNatsFolder } from "../../../coordinator/certs/nats-folder.ts";
import { writeFileWhole } from "../../../coordinator/cli/output.ts";
import { parseCredentials } from "../../../coordinator/nats/credentials.ts";
import { parseSigningKey } from "../../../coordinator/nats/signing-key.ts";
import { refusalIn } from "../../../proto/nats-connection.ts";
import {
  COORDINATOR_INBOX,
  LEADER_BUCKET,
  RESULT_STREAM,
  RESULT_STREAM_CONFIG,
  workerInbox,
} from "../../../proto/subjects.ts";
import { connectWorker, type SecuredNats, startSecuredNats } from "../../support/secured-nats.ts";

const LOG_STREAM = "ELIBAD_LOG_lab";

let nats: SecuredNats;
const ends: (() => unknown)[] = [];
beforeAll(async () => {
  nats = await startSecuredNats({ onEnd: (end) => void ends.push(end) });
});
afterAll(async () => {
  for (const end of ends) await end();
});

/** What a coordinator has on the server: the results' stream, a log of one entry, and a lease. */
async function asCoordinator(): Promise<{
  manager: JetStreamManager;
  leaders: KV;
  connection: NatsConnection;
}> {
  const connection = await nats.connect(nats.coordinator.credential!(), COORDINATOR_INBOX);
  const manager = await connection.jetstreamManager();
  await manager.streams.add(RESULT_STREAM_CONFIG);
  await manager.streams.add({ name: LOG_STREAM, subjects: ["elibad.log.lab"], max_bytes: 1e6 });
  const leaders = await connection.jetstream().views.kv(LEADER_BUCKET);
  await leaders.put("lab", "me");
  const { state } = await manager.streams.info(LOG_STREAM);
  if (state.messages === 0) await connection.jetstream().publish("elibad.log.lab", "entry");
  return { manager, leaders, connection };
}

/** What the server refuses on a connection from now on. */
function refusals(connection: NatsConnection): string[] {
  const heard: string[] = [];
  void (async () => {
    for await (const status of connection.status()) {
      const refusal = refusalIn(status);
      if (refusal) heard.push(`${refusal.reason}: ${refusal.problem}`);
    }
  })();
  return heard;
}

describe("a worker's credential", () => {
  test("gives its own results to any coordinator, and JetStream answers", async () => {
    const { manager } = await asCoordinator();
    const worker = await connectWorker(nats, "w1");
    for (const coordinator of ["c1", "log-lab"]) {
      const { stream } = await worker.jetstream().publish(`elibad.results.${coordinator}.w1`, "result");
      expect(stream).toBe(RESULT_STREAM);
    }
    const stored = await manager.streams.getMessage(RESULT_STREAM, { last_by_subj: "elibad.results.c1.w1" });
    expect(stored.string()).toBe("result");
  });

  test.each([
    ["another worker's results", "elibad.results.c1.w2"],
    ["results of nobody", "elibad.results.c1"],
    ["an entry of the log", "elibad.log.lab"],
    ["the lease of the leader", `$KV.${LEADER_BUCKET}.lab`],
    ["an acknowledgement of results", `$JS.ACK.${RESULT_STREAM}.coordinator-c1.1.1.1.1.0`],
    ["a new stream", "$JS.API.STREAM.CREATE.MINE"],
    ["a look at a stream", `$JS.API.STREAM.INFO.${RESULT_STREAM}`],
    ["the end of a stream", `$JS.API.STREAM.DELETE.${LOG_STREAM}`],
    ["a read of the lease", `$JS.API.DIRECT.GET.KV_${LEADER_BUCKET}.$KV.${LEADER_BUCKET}.lab`],
    ["a consumer of results", `$JS.API.CONSUMER.CREATE.${RESULT_STREAM}`],
    ["an answer to somebody", `${COORDINATOR_INBOX}.abc`],
    ["a question to the system", "$SYS.REQ.SERVER.PING"],
  ])("does not publish %s", async (_what, subject) => {
    await asCoordinator();
    const worker = await connectWorker(nats, "w1");
    const heard = refusals(worker);
    worker.publish(subject, "mine");
    await worker.flush();
    await expect.poll(() => heard).toEqual([`permission: NATS does not permit it: publish on ${subject}`]);
    // The server says it in its log, which comes by another way than its answer.
    const violations = () =>
      nats
        .said()
        .split("\n")
        .filter((line) => line.includes("Publish Violation"));
    await expect.poll(() => violations().at(-1)).toContain(`Subject "${subject}"`);
  });

  test.each([
    ">",
    "elibad.results.>",
    `${workerInbox("w2")}.>`,
    `${COORDINATOR_INBOX}.>`,
    "_INBOX.>",
    "$SYS.>",
  ])("does not hear %s", async (subject) => {
    const worker = await connectWorker(nats, "w1");
    const heard = refusals(worker);
    worker.subscribe(subject, { callback: () => {} });
    await worker.flush();
    await expect
      .poll(() => heard)
      .toEqual([`permission: NATS does not permit it: subscription on ${subject}`]);
  });

  test.each([
    `$JS.API.STREAM.PURGE.${LOG_STREAM}`,
    `$JS.API.STREAM.DELETE.${LOG_STREAM}`,
    "elibad.log.lab",
    `$KV.${LEADER_BUCKET}.lab`,
    "elibad.results.c1.w2",
  ])("does not reach %s by naming it for JetStream's answer", async (reply) => {
    const { manager, leaders } = await asCoordinator();
    const { messages } = (await manager.streams.info(RESULT_STREAM)).state;
    const worker = await connectWorker(nats, "w1");
    worker.publish("elibad.results.c1.w1", "result", { reply });
    await worker.flush();
    await expect
      .poll(async () => (await manager.streams.info(RESULT_STREAM)).state.messages)
      .toBe(messages + 1);
    // JetStream has answered: its answer to what is published now comes after it.
    await worker.jetstream().publish("elibad.results.c1.w1", "next");
    await pause(20);
    expect((await manager.streams.info(RESULT_STREAM)).state.messages).toBe(messages + 2);
    expect((await manager.streams.info(LOG_STREAM)).state).toMatchObject({ messages: 1, last_seq: 1 });
    expect((await leaders.get("lab"))?.string()).toBe("me");
  });

  test("opens no connection once it has expired, and ends the one that it has", async () => {
    const credential = await nats.credential("w3", 3_000);
    const worker = await nats.connect(credential, workerInbox("w3"));
    const heard = refusals(worker);
    await expect
      .poll(() => heard, { timeout: 10_000 })
      .toContain("expired: the credential for NATS has expired");
    // Within the second in which it expires a server takes it still.
    const attempt = () => nats.connect(credential).catch((error: Error) => error.message);
    await expect.poll(attempt, { timeout: 10_000 }).toMatch(/authorization|expired/i);
  });
});

test("a coordinator's credentials delete no stream, give no results, and read no answers but coordinators'", async () => {
  const { connection, manager } = await asCoordinator();
  const heard = refusals(connection);
  await expect(manager.streams.delete(LOG_STREAM)).rejects.toThrow("Permissions Violation");
  connection.publish("elibad.results.c1.w1", "forged");
  connection.subscribe(`${workerInbox("w1")}.>`, { callback: () => {} });
  await connection.flush();
  await expect.poll(() => heard.length).toBe(3);
  const creds = parseCredentials(readFileSync(join(nats.certs, "nats", "admin.creds"), "utf8"));
  const admin = await (await nats.connect(creds)).jetstreamManager();
  expect(await admin.streams.delete(LOG_STREAM)).toBe(true);
});

test("whoever has the signing key speaks for any worker and hears what workers say, and reaches neither the log nor the lease", async () => {
  const { manager, leaders } = await asCoordinator();
  const { account, seed } = parseSigningKey(readFileSync(join(nats.certs, "nats", "signing.key"), "utf8"));
  const user = createUser();
  const jwt = await encodeUser("sly", user, account, {}, { signer: fromSeed(Buffer.from(seed)) });
  const sly = await nats.connect({ jwt, seed: Buffer.from(user.getSeed()).toString() });
  const heard: string[] = [];
  sly.subscribe("elibad.>", { callback: (_, message) => void heard.push(message.string()) });
  await sly.flush();
  const worker = await connectWorker(nats, "w1");
  await worker.jetstream().publish("elibad.results.c1.w1", "a worker's");
  await expect.poll(() => heard).toEqual(["a worker's"]);
  await sly.jetstream().publish("elibad.results.c1.w1", "forged");
  for (const subject of ["elibad.log.lab", `$KV.${LEADER_BUCKET}.lab`]) sly.publish(subject, "mine");
  await sly.flush();
  await expect(sly.jetstreamManager()).rejects.toThrow();
  expect((await manager.streams.info(LOG_STREAM)).state).toMatchObject({ messages: 1, last_seq: 1 });
  expect((await leaders.get("lab"))?.string()).toBe("me");
});

test("nobody is let in without a credential, or with one that somebody else signed", async () => {
  await expect(nats.connect(undefined)).rejects.toThrow(/authorization/i);
  const other = await startSecuredNats();
  await expect(nats.connect(await other.credential("w1"))).rejects.toThrow(/authorization/i);
});

test("credentials that were made anew take the place of those before, and streams stay", async () => {
  const own = await startSecuredNats();
  const [coordinator, worker] = [own.coordinator.credential!(), await own.credential("w1")];
  const before = await own.connect(coordinator, COORDINATOR_INBOX);
  await (await before.jetstreamManager()).streams.add(RESULT_STREAM_CONFIG);
  // Revocation counts in seconds.
  await pause(2_000);
  await renewNatsFolder(own.certs, { write: writeFileWhole });
  await own.restart();
  await expect(own.connect(coordinator, COORDINATOR_INBOX)).rejects.toThrow(/authorization/i);
  await expect(own.connect(worker)).rejects.toThrow(/authorization/i);
  const after = await own.connect(own.coordinator.credential!(), COORDINATOR_INBOX);
  const { config } = await (await after.jetstreamManager()).streams.info(RESULT_STREAM);
  expect(config.max_bytes).toBe(RESULT_STREAM_CONFIG.max_bytes);
});
