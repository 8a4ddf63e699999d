import { createHash } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { request as plainRequest } from "node:http";
import { type RequestOptions, request } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pino } from "pino";
import { Registry } from "prom-client";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { authenticator } from "../../../coordinator/http/authenticate.ts";
import { startUsersServer } from "../../../coordinator/http/users-server.ts";
import { type CertificatePaths, Certificates } from "../../../proto/tls/certificates.ts";
import { expired, type TestAuthority, testAuthority } from "../../support/certificates.ts";
import { readMetrics } from "../../support/metric-values.ts";
import { embeddedPlace, startSweepHost } from "../../support/sweep-host.ts";
import { freeAddress } from "../../support/sweep-processes.ts";
import { tempFolder } from "../../support/temp-folder.ts";

let authority: TestAuthority;
beforeAll(async () => {
  authority = await testAuthority(tempFolder(() => {}));
});

/** A coordinator with sweeps, certificates and the users' port, in this process. */
async function serve() {
  const folder = tempFolder();
  for (const name of ["coordinator.crt", "coordinator.key", "ca.crt"])
    copyFileSync(join(authority.folder, name), join(folder, name));
  const paths = {
    cert: join(folder, "coordinator.crt"),
    key: join(folder, "coordinator.key"),
    ca: join(folder, "ca.crt"),
  };
  const certificates = new Certificates(paths, { refreshMs: 3_600_000 });
  onTestFinished(() => certificates.close());
  const tokens = join(folder, "tokens");
  writeFileSync(tokens, `page submitter ${createHash("sha256").update("secret").digest("hex")}\n`);
  const [http, metrics] = [await freeAddress(), await freeAddress()];
  await startSweepHost(embeddedPlace(), {
    protection: certificates,
    http,
    httpTokens: tokens,
    metricsPort: Number(metrics.split(":")[1]),
  });
  const [host, port] = http.split(":") as [string, string];
  const ask = async (shown?: CertificatePaths, headers: Record<string, string> = {}) => {
    const options: RequestOptions = {
      ...{ host, port, path: "/api/v1/sweeps", headers, agent: false },
      ca: readFileSync(paths.ca),
      ...(shown && { cert: readFileSync(shown.cert), key: readFileSync(shown.key) }),
    };
    const asked = request(options);
    asked.end();
    const [response] = await once(asked, "response");
    const { fingerprint256 } = response.socket.getPeerCertificate();
    return {
      status: response.statusCode,
      headers: response.headers,
      body: await text(response),
      fingerprint256,
    };
  };
  const outcomes = async () => {
    const all = [...(await readMetrics(metrics))].flatMap(([name, value]) => {
      const outcome = /^http_requests_total\{outcome="(.*)"\}$/.exec(name)?.[1];
      return outcome !== undefined && value > 0 ? [[outcome, value] as const] : [];
    });
    return Object.fromEntries(all);
  };
  return { ask, outcomes, certificates, paths, host, port };
}

test("users are known by their role's certificate or by a token; other roles, other CAs and nobody are refused and counted", async () => {
  const { ask, outcomes } = await serve();
  expect(await ask(authority.paths("submitter"))).toMatchObject({
    status: 200,
    body: '{"sweeps":[]}\n',
    headers: { "strict-transport-security": "max-age=31536000" },
  });
  expect(await ask(authority.paths("admin"))).toMatchObject({ status: 200 });
  expect(await ask(undefined, { authorization: "Bearer secret" })).toMatchObject({ status: 200 });

  const worker = await ask(authority.paths("worker"));
  expect(worker).toMatchObject({ status: 403 });
  expect(worker.body).toContain("the certificate is of worker");
  const stranger = await testAuthority();
  const old = await authority.issued("old", { role: "submitter" }, expired());
  for (const shown of [undefined, stranger.paths("admin"), old])
    expect(await ask(shown)).toMatchObject({ status: 401, headers: { "www-authenticate": "Bearer" } });
  // A token that is nobody's is not made good by a certificate beside it.
  expect(await ask(authority.paths("admin"), { authorization: "Bearer wrong" })).toMatchObject({
    status: 401,
  });
  expect(await outcomes()).toEqual({ answered: 3, wrong_role: 1, unauthenticated: 4 });
});

test("the port speaks no plain text, and shows a renewed certificate to whoever comes next", async () => {
  const { ask, outcomes, certificates, paths, host, port } = await serve();
  const plain = plainRequest({ host, port, path: "/api/v1/sweeps", agent: false });
  plain.end();
  await expect(once(plain, "response")).rejects.toThrow(/hang up|ECONNRESET/);
  expect(await outcomes()).toEqual({ malformed: 1 });

  const before = await ask(authority.paths("admin"));
  const renewed = await authority.issued("renewed", {
    role: "coordinator",
    hosts: ["127.0.0.1"],
    usages: ["server"],
  });
  copyFileSync(renewed.cert, paths.cert);
  copyFileSync(renewed.key, paths.key);
  expect(certificates.refresh()).toBe(true);
  const after = await ask(authority.paths("admin"));
  expect(after.status).toBe(200);
  expect(after.fingerprint256).not.toBe(before.fingerprint256);
});

test("who connects and never shakes hands is cut off and counted, so that nobody can hold all connections", async () => {
  const certificates = new Certificates(authority.paths("coordinator"), { refreshMs: 3_600_000 });
  onTestFinished(() => certificates.close());
  const registry = new Registry();
  const server = await startUsersServer({
    ...{ host: "127.0.0.1", port: 0, certificates, registry },
    authenticate: authenticator({}),
    answering: () => ({ leader: "" }),
    logger: pino({ level: "silent" }),
    limits: { headersMs: 300 },
  });
  onTestFinished(() => server.close());
  const socket = connect(Number(server.address.split(":")[1]), "127.0.0.1");
  socket.resume();
  await once(socket, "close");
  expect(await registry.metrics()).toContain('elibad_http_requests_total{outcome="too_slow"} 1\n');
});
