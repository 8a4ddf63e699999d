import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ConnectionOptions, connect } from "node:tls";
import { expect, test } from "vitest";
import { EXIT } from "../../coordinator/cli/errors.ts";
import { encodeResultEnvelope } from "../../proto/result-envelope.ts";
import { resultSubject } from "../../proto/subjects.ts";
import type { CertificatePaths } from "../../proto/tls/certificates.ts";
import { authorityIn, expired, testAuthority } from "../support/certificates.ts";
import { elibadHere, startElibad } from "../support/command-line.ts";
import { freePorts } from "../support/free-ports.ts";
import { metricSum, readMetrics } from "../support/metric-values.ts";
import { childrenOf } from "../support/processes.ts";
import { connectWorker, startSecuredNats } from "../support/secured-nats.ts";
import { standStill } from "../support/stand-still.ts";
import { freeAddress, startCoordinatorProcess, writeSmallSweep } from "../support/sweep-processes.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { eventually } from "../support/worker-scenes.ts";

const EPOCHS = 4;
/** Under which name the coordinators of a log of the default name take results. */
const COORDINATOR = "log-elibad";

/** Shakes hands with what it is given, and waits for the end of that. */
async function knock(address: string, parts: ConnectionOptions): Promise<void> {
  const [host, port] = address.split(":") as [string, string];
  const socket = connect({
    host,
    port: Number(port),
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
    ...parts,
  });
  socket.on("error", () => {});
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
}

const partsOf = ({ cert, key }: CertificatePaths): ConnectionOptions => ({
  cert: readFileSync(cert),
  key: readFileSync(key),
});

test("coordinator, workers, users and NATS with certificates and credentials do a sweep, whose certificates and CA are all changed meanwhile; whoever has none, or another's, or speaks for another, is refused, logged and counted", async () => {
  const nats = await startSecuredNats();
  const authority = authorityIn(nats.certs);
  const [metricsPort] = (await freePorts(1)) as [number];
  const address = await freeAddress();
  const state = join(tempFolder(), "state");
  const secret = (name: string) => join(nats.certs, "nats", name);
  const coordinator = startCoordinatorProcess(
    address,
    [
      ...["--state", state, "--store", "jetstream", "--metrics-port", String(metricsPort)],
      ...["--nats", nats.url, "--nats-creds", secret("coordinator.creds")],
      ...["--nats-signing-key", secret("signing.key")],
    ],
    authority.words("coordinator"),
  );
  const counted = async (metric: string, labels: Readonly<Record<string, string>>) =>
    metricSum(await readMetrics(`127.0.0.1:${metricsPort}`), metric, labels);
  await coordinator.said(/leading \(/);
  const startWorker = () =>
    startElibad([
      ...["worker", "--coordinator", address, "--threads", "1", "--cache", tempFolder()],
      ...authority.words("worker"),
    ]);
  const worker = startWorker();
  const elibad = (...words: string[]) =>
    elibadHere(...words, "--coordinator", address, ...authority.words("submitter"));

  const file = await writeSmallSweep({ models: ["only"], epochs: EPOCHS });
  expect(await elibad("sweep", "submit", file)).toMatchObject({ code: EXIT.done, stderr: "" });

  // In one of its steps the inference process stands still, so that all that follows happens while it runs.
  const used = () => counted("coordinator_results_total", { path: "nats", fate: "used" });
  await expect.poll(used, { timeout: 60_000 }).toBeGreaterThan(0);
  const resume = standStill(childrenOf(worker.process.pid!));

  // Who is not let in.
  const asWorker = await elibadHere("sweep", "list", "--coordinator", address, ...authority.words("worker"));
  expect([asWorker.code, asWorker.stderr]).toEqual([
    EXIT.wrongInput,
    "elibad sweep list: ListSweeps is for a certificate of submitter or admin, and this is a certificate of worker\n",
  ]);
  const asSubmitter = startElibad([
    ...["worker", "--coordinator", address, "--cache", tempFolder()],
    ...authority.words("submitter"),
  ]);
  expect(await asSubmitter.ended()).toMatchObject({
    code: EXIT.failed,
    stderr: expect.stringContaining("Work is for a certificate of worker"),
  });
  await knock(address, {});
  await knock(address, partsOf((await testAuthority()).paths("worker")));
  await knock(address, partsOf(await authority.issued("late", { role: "worker" }, expired())));
  for (const [reason, line] of [
    ["no_certificate", /a connection was refused: the client has no certificate \(peer=127\.0\.0\.1:\d+/],
    [
      "unknown_ca",
      /a connection was refused: \w+ \(peer=127\.0\.0\.1:\d+, reason=unknown_ca, identity=worker\)/,
    ],
    [
      "expired",
      /a connection was refused: CERT_HAS_EXPIRED \(peer=127\.0\.0\.1:\d+, reason=expired, identity=worker\)/,
    ],
  ] as const) {
    await coordinator.said(line);
    expect(await counted("refused_calls_total", { reason })).toBe(1);
  }
  for (const method of ["ListSweeps", "Work is for"]) expect(coordinator.stderr()).toContain(method);
  expect(await counted("refused_calls_total", { reason: "wrong_role" })).toBeGreaterThanOrEqual(2);

  // Who speaks for another worker: the server refuses it under the other one's subject, the coordinator under its own.
  const [, honest] = await coordinator.said(/worker joined \(.*?worker=([\w-]+)/);
  const mallory = await connectWorker(nats, "mallory");
  mallory.publish(resultSubject(COORDINATOR, honest!), "mine");
  await mallory.flush();
  await eventually(
    () => nats.said().includes(`Publish Violation - Subject "${resultSubject(COORDINATOR, honest!)}"`),
    "a line of the server's log about a publication that it refused",
  );
  const forged = encodeResultEnvelope({
    ...{ fingerprint: "a".repeat(64), workerId: honest!, programVersion: "mine" },
    deviceClass: { provider: "cpu", runtimeVersion: "1", hardware: "mine", programForm: "primitive" },
    outcome: { kind: "tensors", tensors: {} },
    ...{ forwards: 0, tokens: 0, seconds: 0 },
  });
  await mallory.jetstream().publish(resultSubject(COORDINATOR, "mallory"), forged);
  await coordinator.said(/forged result \(.*worker=mallory/);
  expect(await counted("coordinator_results_total", { fate: "forged" })).toBe(1);

  // Everything is renewed, and the old CA forgotten. Whoever has the old certificates is a stranger then.
  const before = join(tempFolder(), "before");
  cpSync(authority.folder, before, { recursive: true });
  const everybodyReads = async (change: () => Promise<void> | void) => {
    const timesOf = () =>
      [coordinator, worker].map((each) => each.stderr().split("certificates were read again").length);
    const earlier = timesOf();
    await change();
    await nats.reload();
    await eventually(
      () => timesOf().every((times, k) => times > earlier[k]!),
      "certificates that are read again",
      60_000,
    );
  };
  await everybodyReads(() => authority.renew("ca"));
  await everybodyReads(async () => {
    for (const name of ["coordinator", "worker", "submitter", "nats-server"] as const)
      await authority.renew(name);
  });
  await everybodyReads(() => authority.forgetOldAuthority());
  expect((await elibad("sweep", "list")).stdout).toMatch(/^friday +defect_detection +1 +0 +1 /m);
  resume();
  const late = startWorker();
  await eventually(
    () => late.stderr().includes("results go through NATS"),
    "a worker with the new certificate, for NATS, too",
    60_000,
  );
  const at = (name: string) => join(before, name);
  const old = ["--tls-cert", at("submitter.crt"), "--tls-key", at("submitter.key"), "--tls-ca", at("ca.crt")];
  const stranger = await elibadHere("sweep", "list", "--coordinator", address, ...old);
  expect([stranger.code, stranger.stderr]).toEqual([
    EXIT.wrongInput,
    `elibad sweep list: --coordinator ${address}: the certificate of ${address} is from no CA in --tls-ca ${at("ca.crt")}\n`,
  ]);

  const watched = await elibad("sweep", "watch", "friday");
  expect(watched.stderr).toContain("friday: 1 of 1 done");
  expect(watched.code).toBe(EXIT.done);
  const trace = readFileSync(join(state, "results", "friday", "only", "trace.jsonl"), "utf8");
  expect(trace.trim().split("\n")).toHaveLength(1 + EPOCHS);
  expect(worker.stderr()).not.toContain("the coordinator is lost");
}, 300_000);
