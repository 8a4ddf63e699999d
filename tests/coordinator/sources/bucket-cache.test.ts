import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { BucketCache, type BucketCacheOptions } from "../../../coordinator/sources/bucket-cache.ts";
import { type BucketSource, parseSource } from "../../../coordinator/sources/source.ts";
import { S3_ENVIRONMENT, s3Missing, startS3Server, type TestS3Server } from "../../support/s3-server.ts";
import { startTcpProxy } from "../../support/tcp-proxy.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const missing = s3Missing();
if (missing !== undefined) console.warn(`tests of buckets are skipped: ${missing}`);

const KB = 1024;
const source = (text: string): BucketSource => parseSource(text, "/") as BucketSource;
const never = new AbortController().signal;
/** Bytes that differ everywhere, so that a misplaced range shows. */
const bytesOf = (length: number, seed = 0): Buffer => {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(at + seed, at);
  return bytes;
};
const weightsIn = (folder: string): Buffer => readFileSync(join(folder, "model.safetensors"));

describe.skipIf(missing !== undefined)("folders of buckets", () => {
  let server: TestS3Server;
  beforeAll(async () => {
    for (const [name, value] of Object.entries(S3_ENVIRONMENT)) vi.stubEnv(name, value);
    server = await startS3Server();
    await server.makeBucket("models");
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await server?.stop();
  });

  async function open(options: Partial<BucketCacheOptions> = {}) {
    const lines: string[] = [];
    const folder = options.folder ?? tempFolder();
    const log = (line: string) => void lines.push(line);
    const cache = await BucketCache.open({ folder, maxBytes: 10 ** 9, log, ...options });
    const hold = (text: string, signal = never, endpoint = server.endpoint) =>
      cache.hold(source(text), "checkpoint", { settings: { endpoint, pathStyle: true }, signal });
    return { cache, folder, lines, hold };
  }

  const putModel = async (prefix: string, weights: Buffer) => {
    await server.put("models", `${prefix}/config.json`, Buffer.from("{}"));
    await server.put("models", `${prefix}/model.safetensors`, weights);
  };
  const objectsIn = (folder: string) => readdirSync(join(folder, "objects"));

  test("a folder holds a checkpoint's files byte by byte, and nothing else that lies beside them", async () => {
    const weights = bytesOf(300 * KB);
    await putModel("lab/clean", weights);
    await server.put("models", "lab/clean/optimizer.pt", bytesOf(64));
    await server.put("models", "lab/clean/checkpoint-500/model.safetensors", bytesOf(64));
    const { hold } = await open({ rangeBytes: 64 * KB });
    const { path } = await hold("s3://models/lab/clean/");
    expect(readdirSync(path).sort()).toEqual(["config.json", "model.safetensors"]);
    expect(weightsIn(path).equals(weights)).toBe(true);
  });

  test("a transfer that breaks goes on at the byte where it broke", async () => {
    const weights = bytesOf(4_000 * KB);
    await putModel("broken", weights);
    const proxy = await startTcpProxy({ host: "127.0.0.1", port: Number(new URL(server.endpoint).port) });
    const { hold, lines } = await open({ rangeBytes: 1_000 * KB });
    proxy.cutAfter({ answers: 1_500 * KB });
    const { path } = await hold("s3://models/broken", never, `http://127.0.0.1:${proxy.port}`);
    expect(proxy.cuts).toBe(1);
    expect(lines.join("\n")).toMatch(/model\.safetensors: broke at byte 1[0-9]{6}/);
    expect(weightsIn(path).equals(weights)).toBe(true);
  });

  test("a fetch that was stopped goes on in another process where it was", async () => {
    await putModel("stopped", bytesOf(2_000 * KB));
    const first = await open({ rangeBytes: 64 * KB });
    const stop = new AbortController();
    const stopped = first.hold("s3://models/stopped", stop.signal);
    await vi.waitUntil(() =>
      objectsIn(first.folder).some(
        (name) => name.includes(".") && statSync(join(first.folder, "objects", name)).size > 64 * KB,
      ),
    );
    stop.abort();
    await expect(stopped).rejects.toThrow("aborted");
    const second = await open({ folder: first.folder });
    const { path } = await second.hold("s3://models/stopped");
    expect(second.lines.join("\n")).toMatch(/fetching goes on at byte [1-9]\d+ of 2048000/);
    expect(weightsIn(path).equals(bytesOf(2_000 * KB))).toBe(true);
  });

  test("what is there is not fetched again, and an object that changed is", async () => {
    await putModel("changing", bytesOf(KB));
    const { hold, lines } = await open();
    const before = await hold("s3://models/changing");
    expect(lines.filter((line) => line.includes("fetched"))).toHaveLength(2);
    expect((await hold("s3://models/changing")).path).toBe(before.path);
    expect(lines.filter((line) => line.includes("fetched"))).toHaveLength(2);
    await server.put("models", "changing/model.safetensors", bytesOf(KB, 1));
    const after = await hold("s3://models/changing");
    expect(after.path).not.toBe(before.path);
    expect(weightsIn(after.path).equals(bytesOf(KB, 1))).toBe(true);
    expect(weightsIn(before.path).equals(bytesOf(KB))).toBe(true);
  });

  test("what was used longest ago goes when room is needed, but nothing that is held", async () => {
    for (const name of ["a", "b", "c"]) await putModel(`room/${name}`, bytesOf(100 * KB, name.charCodeAt(0)));
    const { hold, folder, lines } = await open({
      maxBytes: 250 * KB,
    });
    const a = await hold("s3://models/room/a");
    (await hold("s3://models/room/b")).release();
    const c = await hold("s3://models/room/c");
    expect(lines.join("\n")).toContain(
      "an object that no job holds (102400 bytes) went, for s3://models/room/c",
    );
    expect(weightsIn(a.path).equals(bytesOf(100 * KB, "a".charCodeAt(0)))).toBe(true);
    expect(weightsIn(c.path).equals(bytesOf(100 * KB, "c".charCodeAt(0)))).toBe(true);
    expect(readdirSync(join(folder, "folders"))).toHaveLength(2);
  });

  test("two that want the same folder at the same time fetch it once", async () => {
    await putModel("shared", bytesOf(200 * KB));
    const { hold, lines } = await open();
    const [one, two] = await Promise.all([hold("s3://models/shared"), hold("s3://models/shared")]);
    expect(one.path).toBe(two.path);
    expect(lines.filter((line) => line.includes("fetched"))).toHaveLength(2);
  });

  test.each([
    ["s3://models/nothing-here", "s3://models/nothing-here: no object lies there"],
    ["s3://no-such-bucket/a", "s3://no-such-bucket/a: there is no such bucket"],
    ["s3://models/only-notes", "s3://models/only-notes: no checkpoint in it"],
  ])("%s cannot be had, and the error says which it is and why", async (text, problem) => {
    await server.put("models", "only-notes/README.md", Buffer.from("notes"));
    const { hold } = await open();
    await expect(hold(text)).rejects.toThrow(problem);
  });

  test("wrong credentials are named as what they are", async () => {
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "another");
    const { hold } = await open();
    await expect(hold("s3://models/lab/clean")).rejects.toThrow("s3://models/lab/clean: access is refused");
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", S3_ENVIRONMENT.AWS_SECRET_ACCESS_KEY);
  });

  test("a folder larger than all room is refused before anything of it is fetched", async () => {
    await putModel("large", bytesOf(100 * KB));
    const { hold, folder } = await open({ maxBytes: 50 * KB });
    await expect(hold("s3://models/large")).rejects.toThrow(
      "s3://models/large: has 102402 bytes, more than the 51200",
    );
    expect(objectsIn(folder)).toEqual([]);
  });

  test("one object can be had as a file of its own name", async () => {
    await server.put("models", "data/clean.jsonl", Buffer.from('{"a":1}\n'));
    const { cache } = await open();
    const settings = { endpoint: server.endpoint, pathStyle: true };
    const { path } = await cache.hold(source("s3://models/data/clean.jsonl"), "file", {
      settings,
      signal: never,
    });
    expect(path).toMatch(/\/clean\.jsonl$/);
    expect(readFileSync(path, "utf8")).toBe('{"a":1}\n');
  });
});

test("a service that does not answer is named", async () => {
  for (const [name, value] of Object.entries(S3_ENVIRONMENT)) vi.stubEnv(name, value);
  const cache = await BucketCache.open({ folder: tempFolder(), maxBytes: 1, log: () => undefined });
  const settings = { endpoint: "http://127.0.0.1:1", pathStyle: true };
  await expect(
    cache.hold(source("s3://models/a"), "checkpoint", { settings, signal: never }),
  ).rejects.toThrow(/^s3:\/\/models\/a: the service does not answer/);
  vi.unstubAllEnvs();
});
