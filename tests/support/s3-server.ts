import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { freePorts } from "./free-ports.ts";
import { ensureS3Server } from "./s3-install.mjs";

/** Credentials of the test server, as the SDK's environment names them. */
export const S3_ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: "elibad-test",
  AWS_SECRET_ACCESS_KEY: "elibad-secret",
  AWS_EC2_METADATA_DISABLED: "true",
};

/** A real S3 server (SeaweedFS) on free ports, with a store of its own. */
export interface TestS3Server {
  readonly endpoint: string;
  /** Makes a bucket, or does nothing where it is there. */
  makeBucket(bucket: string): Promise<void>;
  put(bucket: string, key: string, bytes: Uint8Array): Promise<void>;
  stop(): Promise<void>;
}

/** Why no S3 server can be had here, or undefined; installs it where it is missing. */
export function s3Missing(): string | undefined {
  try {
    ensureS3Server(() => undefined);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Starts a server, to be ended with `stop`. */
export async function startS3Server(): Promise<TestS3Server> {
  const store = mkdtempSync(join(tmpdir(), "elibad-s3-"));
  const identity = {
    name: "test",
    credentials: [
      { accessKey: S3_ENVIRONMENT.AWS_ACCESS_KEY_ID, secretKey: S3_ENVIRONMENT.AWS_SECRET_ACCESS_KEY },
    ],
    actions: ["Admin", "Read", "Write", "List"],
  };
  writeFileSync(join(store, "s3.json"), JSON.stringify({ identities: [identity] }));
  const names = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc"];
  names.push("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc");
  const ports = await freePorts(names.length);
  const server = spawn(
    ensureS3Server(),
    [
      ...["server", "-filer", "-s3", `-dir=${store}`, `-s3.config=${join(store, "s3.json")}`],
      ...["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-volume.max=20"],
      ...[
        "-master.volumeSizeLimitMB=64",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.preStopSeconds=0",
      ],
      ...names.map((name, k) => `-${name}=${ports[k]}`),
    ],
    { cwd: store, stdio: ["ignore", "ignore", "pipe"] },
  );
  const endpoint = `http://127.0.0.1:${ports[6]}`;
  const stop = async () => {
    await ended(server);
    // Sockets that it makes beside its ports, wherever the temporary folder is.
    for (const name of readdirSync("/tmp"))
      if (ports.some((port) => name.startsWith("seaweedfs-") && name.endsWith(`-${port}.sock`)))
        rmSync(join("/tmp", name), { force: true });
    rmSync(store, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    await answering(server, endpoint);
  } catch (error) {
    await stop();
    throw error;
  }
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: {
      accessKeyId: S3_ENVIRONMENT.AWS_ACCESS_KEY_ID,
      secretAccessKey: S3_ENVIRONMENT.AWS_SECRET_ACCESS_KEY,
    },
    // The server takes no objects while its first volume is being made.
    maxAttempts: 10,
  });
  return {
    endpoint,
    async makeBucket(bucket) {
      await client.send(new CreateBucketCommand({ Bucket: bucket })).catch((error: Error) => {
        if (!/AlreadyExists|AlreadyOwned/.test(error.name)) throw error;
      });
    },
    async put(bucket, key, bytes) {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes }));
    },
    async stop() {
      client.destroy();
      await stop();
    },
  };
}

async function ended(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const gone = once(server, "exit");
  server.kill("SIGKILL");
  await gone;
}

/** Waits until the server refuses those whom it does not know. */
async function answering(server: ChildProcess, endpoint: string): Promise<void> {
  let tail = "";
  server.stderr!.on("data", (text: Buffer) => {
    tail = (tail + text.toString()).slice(-2_000);
  });
  const failed = new Promise<never>((_, reject) => {
    server.once("error", reject);
    server.once("exit", (code) => reject(new Error(`the S3 server ended with ${code}:\n${tail}`)));
  });
  const ready = async () => {
    for (const since = performance.now(); ; await sleep(100)) {
      const answer = await fetch(endpoint).catch(() => undefined);
      await answer?.arrayBuffer();
      if (answer?.status === 403) return;
      if (performance.now() - since > 120_000) throw new Error(`the S3 server does not answer:\n${tail}`);
    }
  };
  await Promise.race([ready(), failed]);
}
