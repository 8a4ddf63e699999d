import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createUser } from "@nats-io/jwt";
import { connect, type NatsConnection } from "nats";
import { onTestFinished } from "vitest";
import { makeCertificates } from "../../coordinator/certs/certificate-folder.ts";
import { writeNatsFolder } from "../../coordinator/certs/nats-folder.ts";
import { writeFileWhole } from "../../coordinator/cli/output.ts";
import type { CoordinatorNats } from "../../coordinator/coordinator.ts";
import { parseCredentials } from "../../coordinator/nats/credentials.ts";
import { parseSigningKey, signWorkerToken } from "../../coordinator/nats/signing-key.ts";
import { type NatsCredential, type NatsServers, natsConnectionOptions } from "../../proto/nats-connection.ts";
import { workerInbox } from "../../proto/subjects.ts";
import { startNatsServer, type TestNatsServer } from "./nats-server.ts";
import type { OnEnd } from "./on-end.ts";
import { tempFolder } from "./temp-folder.ts";

/** A NATS server that believes in certificates and credentials, as `elibad certs` makes them. */
export interface SecuredNats extends TestNatsServer {
  /** What `elibad certs` wrote. */
  readonly certs: string;
  /** How a coordinator uses it. */
  readonly coordinator: CoordinatorNats & { readonly signingKey: object };
  /** A worker's credential, good for so long. */
  credential(workerId: string, lifetimeMs?: number): Promise<NatsCredential>;
  /** A connection of somebody who has this credential, closed with the test. */
  connect(credential: NatsCredential | undefined, inbox?: string): Promise<NatsConnection>;
}

/** Starts one with the configuration that is written for users, but for the ports. */
export async function startSecuredNats({ onEnd = onTestFinished as OnEnd } = {}): Promise<SecuredNats> {
  const certs = tempFolder(onEnd);
  const options = { days: 1, nowMs: Date.now(), write: writeFileWhole };
  await makeCertificates(certs, { ...options, hosts: ["localhost", "127.0.0.1"], force: false });
  await writeNatsFolder(certs, options);
  const at = (name: string) => join(certs, name);
  const server = await startNatsServer({ endsWithTest: false, config: at("nats/nats-server.conf") });
  onEnd(() => server.stop());
  const key = parseSigningKey(readFileSync(at("nats/signing.key"), "utf8"));
  const tls = (name: string) => ({
    caFile: at("ca.crt"),
    certFile: at(`${name}.crt`),
    keyFile: at(`${name}.key`),
  });
  const creds = () => parseCredentials(readFileSync(at("nats/coordinator.creds"), "utf8"));
  return {
    ...server,
    certs,
    coordinator: { url: server.url, tls: tls("coordinator"), credential: creds, signingKey: () => key },
    async credential(workerId, lifetimeMs = 60_000) {
      const user = createUser();
      const token = { workerId, userKey: user.getPublicKey(), untilMs: Date.now() + lifetimeMs };
      return { jwt: await signWorkerToken(key, token), seed: Buffer.from(user.getSeed()).toString() };
    },
    async connect(credential, inbox = "_INBOX") {
      const servers: NatsServers = {
        url: server.url,
        tls: tls("worker"),
        credential: credential && (() => credential),
      };
      const connection = await connect(natsConnectionOptions(servers, { name: "test", inbox }));
      onTestFinished(() => connection.close());
      return connection;
    },
  };
}

/** A connection of a worker. */
export const connectWorker = async (nats: SecuredNats, workerId: string): Promise<NatsConnection> =>
  nats.connect(await nats.credential(workerId), workerInbox(workerId));
