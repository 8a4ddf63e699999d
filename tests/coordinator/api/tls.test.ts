import { once } from "node:events";
import { copyFileSync, readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectPlain } from "node:net";
import { join } from "node:path";
import { Writable } from "node:stream";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { type ServiceError, status } from "@grpc/grpc-js";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { CoordinatorServer } from "../../../coordinator/api/server.ts";
import { standbyRole } from "../../../coordinator/api/standby.ts";
import { issue, validFor } from "../../../coordinator/certs/issue.ts";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { type CoordinatorClient, connectToCoordinator, type Protection } from "../../../proto/client.ts";
import { type CertificatePaths, Certificates } from "../../../proto/tls/certificates.ts";
import { createLogger } from "../../../worker/logging.ts";
import { expired, type TestAuthority, testAuthority } from "../../support/certificates.ts";
import { readMetrics } from "../../support/metric-values.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { eventually } from "../../support/worker-scenes.ts";

let authority: TestAuthority;
beforeAll(async () => {
  authority = await testAuthority(tempFolder(() => {}));
});

function opened(paths: CertificatePaths): Certificates {
  const certificates = new Certificates(paths, { refreshMs: 3_600_000 });
  onTestFinished(() => certificates.close());
  return certificates;
}

/** A coordinator that leads, or stands by, with certificates; what it logs, and what it counts as refused. */
async function serve({ paths = authority.paths("coordinator"), standsBy = false } = {}) {
  const lines: Record<string, unknown>[] = [];
  const destination = new Writable({
    write(chunk, _, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  const logger = createLogger({ format: "json", name: "coordinator", destination });
  const certificates = opened(paths);
  const options = { protection: certificates, logger, metrics: { port: 0 } };
  const running = standsBy
    ? await CoordinatorServer.open(
        options,
        standbyRole(() => "10.0.0.5:7070"),
      )
    : await startCoordinator({ ...options, artifactFolder: join(tempFolder(), "artifacts"), drainMs: 0 });
  onTestFinished(() => running.close());
  const close = () => running.close();
  const refused = async (): Promise<Record<string, number>> => {
    const counts = [...(await readMetrics(running.metricsAddress!))].flatMap(([name, value]) => {
      const reason = /^refused_calls_total\{reason="(.*)"\}$/.exec(name)?.[1];
      return reason !== undefined && value > 0 ? [[reason, value] as const] : [];
    });
    return Object.fromEntries(counts);
  };
  return {
    address: running.address,
    port: Number(running.address.split(":")[1]),
    certificates,
    close,
    refusals: () => lines.filter(({ msg }) => /was refused/.test(String(msg))),
    refused,
  };
}

/** The status of a call, or undefined where it was answered. */
const statusOf = (
  address: string,
  protection: Protection,
  call: (client: CoordinatorClient, done: (error: ServiceError | null) => void) => void,
): Promise<ServiceError | undefined> => {
  const client = connectToCoordinator(address, protection);
  onTestFinished(() => client.close());
  return new Promise((resolve) => call(client, (error) => resolve(error ?? undefined)));
};

const locate = (client: CoordinatorClient, done: (error: ServiceError | null) => void) =>
  void client.locateArtifact({ digest: "00" }, done);

const cancel = (client: CoordinatorClient, done: (error: ServiceError | null) => void) =>
  void client.cancelJobs({ sweep: "friday", jobs: [] }, done);

const work = (client: CoordinatorClient, done: (error: ServiceError | null) => void) => {
  const call = client.work();
  call.on("error", done);
  call.on("data", () => done(null));
  call.write({ message: "heartbeat", heartbeat: {} as never });
};

/** A handshake by hand. Resolves when the connection is over. */
async function shakeHands(port: number, options: ConnectionOptions): Promise<void> {
  const socket = connectTls({
    port,
    host: "127.0.0.1",
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
    ...options,
  });
  socket.on("error", () => {});
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
}

const partsOf = (paths: CertificatePaths): ConnectionOptions => {
  const { cert, key } = opened(paths).current.options;
  return { cert, key };
};

test("a worker calls what workers call, over TLS 1.2 at least, at the names and addresses of the certificate", async () => {
  const { port, refused } = await serve();
  const worker = opened(authority.paths("worker"));
  for (const host of ["127.0.0.1", "localhost"])
    expect(await statusOf(`${host}:${port}`, worker, locate)).toBeUndefined();
  expect(await refused()).toEqual({});
});

test.each([
  { who: "a worker", name: "worker", call: cancel, method: "CancelJobs" },
  { who: "a submitter", name: "submitter", call: work, method: "Work" },
] as const)(
  "$who that calls $method is refused, logged and counted, of a leader and of a standby",
  async ({ name, call, method }) => {
    for (const standsBy of [false, true]) {
      const { address, refusals, refused } = await serve({ standsBy });
      const error = await statusOf(address, opened(authority.paths(name)), call);
      expect(error).toMatchObject({ code: status.PERMISSION_DENIED });
      expect(error?.details).toContain(`${method} is for a certificate of`);
      expect(refusals()).toMatchObject([
        {
          level: "warn",
          reason: "wrong_role",
          method,
          identity: name,
          peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        },
      ]);
      expect(await refused()).toEqual({ wrong_role: 1 });
    }
  },
);

test("a certificate without a role makes no call", async () => {
  const { address, refusals, refused } = await serve();
  const none = opened(await authority.issued("none", {}));
  expect(await statusOf(address, none, locate)).toMatchObject({ code: status.UNAUTHENTICATED });
  expect(refusals()).toMatchObject([
    { reason: "no_identity", identity: "nobody's", method: "LocateArtifact" },
  ]);
  expect(await refused()).toEqual({ no_identity: 1 });
});

test.each([
  { what: "no certificate", reason: "no_certificate", parts: async () => ({}) },
  {
    what: "a certificate of another CA",
    reason: "unknown_ca",
    identity: "worker",
    parts: async () => partsOf((await testAuthority()).paths("worker")),
  },
  {
    what: "a certificate that expired",
    reason: "expired",
    identity: "worker",
    parts: async () => {
      const { cert, key } = await authority.issued("late", { role: "worker" }, expired());
      return { cert: readFileSync(cert), key: readFileSync(key) };
    },
  },
  {
    what: "a server's certificate as a client's",
    reason: "bad_certificate",
    identity: "worker",
    parts: async () => partsOf(await authority.issued("server", { role: "worker", usages: ["server"] })),
  },
  {
    what: "an admin's certificate that a worker signed with its own",
    reason: "bad_certificate",
    identity: "admin",
    parts: async () => {
      const worker = authority.paths("worker");
      const [certificate, key] = [readFileSync(worker.cert, "utf8"), readFileSync(worker.key, "utf8")];
      const admin = { commonName: "sly", role: "admin", hosts: [], usages: ["client"] } as const;
      const signed = await issue({ certificate, key }, admin, validFor(1, Date.now()));
      return { cert: signed.certificate + certificate, key: signed.key };
    },
  },
  {
    what: "a protocol that is not HTTP/2",
    reason: "handshake",
    parts: async () => ({ ...partsOf(authority.paths("worker")), ALPNProtocols: ["http/1.1"] }),
  },
  {
    what: "TLS 1.1",
    reason: "handshake",
    parts: async () => ({
      ...partsOf(authority.paths("worker")),
      ...({ minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const),
    }),
  },
])(
  "a client with $what is refused before it says anything, logged and counted",
  async ({ reason, identity, parts }) => {
    const { port, refusals, refused } = await serve();
    await shakeHands(port, await parts());
    await eventually(() => refusals().length > 0, "a line about it");
    expect(refusals()).toMatchObject([
      {
        level: "warn",
        reason,
        ...(identity && { identity }),
        peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      },
    ]);
    expect(await refused()).toEqual({ [reason]: 1 });
  },
);

test("who speaks plain text is refused; who only looks whether the port is open is nobody's business", async () => {
  const { port, address, refusals, refused } = await serve();
  const probe = connectPlain(port, "127.0.0.1");
  await once(probe, "connect");
  probe.end();
  await once(probe, "close");
  expect(await statusOf(address, "plain", locate)).toMatchObject({ code: status.UNAVAILABLE });
  await eventually(() => refusals().length > 0, "a line about it");
  expect(refusals()[0]).toMatchObject({ reason: "no_tls" });
  expect(Object.keys(await refused())).toEqual(["no_tls"]);
});

test("a connection that shakes hands while the coordinator ends comes to an end, too", async () => {
  const { address, port, close } = await serve();
  const plain = connectPlain(port, "127.0.0.1");
  onTestFinished(() => void plain.destroy());
  await once(plain, "connect");
  // It is answered later than the connection before it was taken.
  expect(await statusOf(address, opened(authority.paths("worker")), locate)).toBeUndefined();
  await close();
  const socket = connectTls({
    socket: plain,
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
    ...partsOf(authority.paths("worker")),
  });
  const session = connectHttp2(`https://${address}`, { createConnection: () => socket });
  session.on("error", () => {});
  await new Promise((resolve) => session.once("close", resolve));
});

test.each([
  { what: "has another CA's certificate", paths: async () => (await testAuthority()).paths("coordinator") },
  {
    what: "has a certificate for another host",
    paths: () =>
      authority.issued("elsewhere", { role: "coordinator", hosts: ["example.org"], usages: ["server"] }),
  },
  {
    what: "has a worker's certificate, though for the right host",
    paths: () =>
      authority.issued("impostor", { role: "worker", hosts: ["127.0.0.1"], usages: ["server", "client"] }),
  },
])("a server that $what is taken for a coordinator by nobody", async ({ paths }) => {
  const { address } = await serve({ paths: await paths() });
  const error = await statusOf(address, opened(authority.paths("worker")), locate);
  expect(error).toMatchObject({ code: status.UNAVAILABLE });
});

test("when certificates change, CA and all, connections stay and new ones use the new", async () => {
  const folder = tempFolder();
  const at = (file: string) => join(folder, file);
  const paths = { cert: at("crt"), key: at("key"), ca: at("ca") };
  const put = (from: CertificatePaths) => {
    for (const kind of ["cert", "key", "ca"] as const) copyFileSync(from[kind], paths[kind]);
  };
  put(authority.paths("coordinator"));
  const { address, certificates } = await serve({ paths });
  const before = connectToCoordinator(address, opened(authority.paths("worker")));
  onTestFinished(() => before.close());
  const ask = () => new Promise((resolve) => locate(before, resolve));
  expect(await ask()).toBeNull();
  const other = await testAuthority();
  put(other.paths("coordinator"));
  expect(certificates.refresh()).toBe(true);
  expect(await ask()).toBeNull();
  expect(await statusOf(address, opened(other.paths("worker")), locate)).toBeUndefined();
  expect(await statusOf(address, opened(authority.paths("worker")), locate)).toMatchObject({
    code: status.UNAVAILABLE,
  });
});
