import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { programVersion } from "../../worker/program-version.ts";
import { ScriptedWorker } from "../support/scripted-worker.ts";
import { noteCost } from "./cost.ts";
import { ScanScene } from "./scan-scene.ts";

const scene = ScanScene.forFile({ workers: 2 });

const address = (): { readonly host: string; readonly port: number } => {
  const [host, port] = scene.coordinator.address.split(":") as [string, string];
  return { host, port: Number(port) };
};

/** A message as gRPC frames it. */
function frame(bytes: Uint8Array, { compressed = false, length = bytes.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, bytes]);
}

/** Sends bytes as the first message of a `Work` stream; answers the call's `grpc-status`, or that the connection ended. */
async function sendAsWorker(bytes: Buffer): Promise<string> {
  const { host, port } = address();
  const session = connectHttp2(`http://${host}:${port}`);
  session.on("error", () => {});
  const request = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: "/elibad.v1.Coordinator/Work",
    [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
    [constants.HTTP2_HEADER_TE]: "trailers",
    "grpc-encoding": "gzip",
  });
  request.on("error", () => {});
  const status = new Promise<string>((resolve) => {
    for (const event of ["response", "trailers"] as const)
      request.on(event, (headers: Readonly<Record<string, unknown>>) => {
        if (headers["grpc-status"] !== undefined) resolve(String(headers["grpc-status"]));
      });
    request.on("close", () => resolve("closed"));
  });
  request.resume();
  request.write(bytes);
  request.end();
  const answer = await status;
  session.destroy();
  return answer;
}

/** Sends bytes on a bare connection, and waits until the coordinator ends it or has had time to. */
async function sendRaw(bytes: Buffer): Promise<void> {
  const socket = connect(address());
  socket.on("error", () => {});
  await once(socket, "connect");
  socket.end(bytes);
  socket.resume();
  await once(socket, "close");
}

const RESOURCE_EXHAUSTED = "8";

/** 128 MB of zeros in 128 KB, made before anything is timed. */
const BOMB = frame(gzipSync(Buffer.alloc(128 * 1024 ** 2)), { compressed: true });

test("25: frames that are too large, or no frames at all, end their own connection and nothing else", async (context) => {
  const memory = process.memoryUsage.rss();
  const cost = await scene.scanWith(async (scan) => {
    const held = scene.holdInSecondStep(scan, "score");
    await held.first();
    expect(scan.steps).toBe(1);
    expect(await sendAsWorker(frame(Buffer.alloc(5 * 1024 ** 2)))).toBe(RESOURCE_EXHAUSTED);
    expect(await sendAsWorker(BOMB)).toBe(RESOURCE_EXHAUSTED);
    // A length of 4 GB, of which little comes.
    expect(await sendAsWorker(frame(Buffer.from("x"), { length: 2 ** 32 - 1 }))).toBe(RESOURCE_EXHAUSTED);
    // No message of ours: fields that cannot be, and a Hello without anything in it.
    expect(await sendAsWorker(frame(Buffer.alloc(1_000, 255)))).not.toBe("0");
    await sendAsWorker(frame(Buffer.from([0x0a, 0x00])));
    for (const bytes of [randomBytes(10_000), Buffer.from("GET / HTTP/1.1\r\n\r\n"), Buffer.alloc(0)])
      await sendRaw(bytes);
    expect(scene.coordinator.workers()).toHaveLength(2);
    expect(scan.steps).toBe(1);
    held.release();
  });
  // What was announced, or compressed, was never held.
  expect(process.memoryUsage.rss() - memory).toBeLessThan(100 * 1024 ** 2);
  noteCost(context, cost);
});

test("25: a worker that says what no worker says loses its stream, and nobody else anything", async (context) => {
  const cost = await scene.scanWith(async (scan) => {
    const held = scene.holdInSecondStep(scan, "score");
    await held.first();
    expect(scan.steps).toBe(1);
    const stranger = new ScriptedWorker(scene.coordinator.address, {
      id: "stranger",
      program: programVersion(),
    });
    await scene.connected("w1", "w2", "stranger");
    stranger.heartbeat([1, 2, 3, 2 ** 40]);
    stranger.send({ message: "draining", draining: { returnedLeaseIds: [1, 2, 3] } });
    stranger.send({ message: "childDied", childDied: { leaseId: 1, reason: "of nothing" } });
    stranger.giveBytes(Buffer.alloc(100_000, 255));
    stranger.credit(2 ** 31);
    stranger.die();
    await scene.connected("w1", "w2");
    held.release();
  });
  noteCost(context, cost);
});
