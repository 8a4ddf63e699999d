import { createHash } from "node:crypto";
import { readdirSync, readFileSync, realpathSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeManifest, type UploadedFile } from "../../../coordinator/sources/upload-manifest.ts";
import { UploadStore, type UploadStoreOptions } from "../../../coordinator/sources/upload-store.ts";
import { ARTIFACT_RANGE_BYTES } from "../../../proto/artifact-layout.ts";
import { smallDisk } from "../../support/small-disk.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const open = (options: Partial<UploadStoreOptions> = {}) =>
  UploadStore.open({ folder: tempFolder(), maxBytes: 10 ** 9, ...options });

async function* chunksOf(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield chunk;
}
async function* breakingAfter(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  yield chunk;
  throw new Error("the connection broke");
}

const send = (store: UploadStore, bytes: Uint8Array) =>
  store.append({ digest: digestOf(bytes), totalBytes: bytes.length, offset: 0 }, chunksOf(bytes));

/** Sends files and their manifest; answers the manifest's digest. */
async function sendFolder(store: UploadStore, files: Readonly<Record<string, string>>): Promise<string> {
  const named: UploadedFile[] = [];
  for (const [name, text] of Object.entries(files)) {
    const bytes = Buffer.from(text);
    await send(store, bytes);
    named.push({ name, digest: digestOf(bytes), bytes: bytes.length });
  }
  const manifest = encodeManifest(named);
  await send(store, manifest);
  return digestOf(manifest);
}

test("a range that broke off is kept, and the next one goes on behind it, also in another process", async () => {
  const folder = tempFolder();
  const bytes = Buffer.from("the weights of a model");
  const whole = { digest: digestOf(bytes), totalBytes: bytes.length };
  const first = await open({ folder });
  await expect(first.append({ ...whole, offset: 0 }, breakingAfter(bytes.subarray(0, 9)))).rejects.toThrow(
    "the connection broke",
  );
  const second = await open({ folder });
  expect(await second.holding(whole.digest)).toEqual({ bytes: 9, isWhole: false });
  expect(await second.append({ ...whole, offset: 9 }, chunksOf(bytes.subarray(9)))).toEqual({
    bytes: bytes.length,
    isWhole: true,
  });
  expect(readFileSync(join(folder, "files", whole.digest))).toEqual(bytes);
});

test("a range that begins elsewhere changes nothing, and says where the next one is to begin", async () => {
  const store = await open();
  const bytes = Buffer.from("abcdef");
  const whole = { digest: digestOf(bytes), totalBytes: 6 };
  await store.append({ ...whole, offset: 0 }, chunksOf(Buffer.from("abc")));
  expect(await store.append({ ...whole, offset: 1 }, chunksOf(Buffer.from("xyz")))).toEqual({
    bytes: 3,
    isWhole: false,
  });
  await store.append({ ...whole, offset: 3 }, chunksOf(Buffer.from("def")));
  expect(await store.append({ ...whole, offset: 0 }, chunksOf(bytes))).toEqual({ bytes: 6, isWhole: true });
});

test("two that send the same file at the same time both end with the whole of it", async () => {
  const store = await open();
  const bytes = Buffer.from("the same bytes");
  const [one, two] = await Promise.all([send(store, bytes), send(store, bytes)]);
  expect([one, two]).toEqual([1, 2].map(() => ({ bytes: bytes.length, isWhole: true })));
});

test("a file of no bytes is there only once it was sent", async () => {
  const store = await open();
  const digest = digestOf(new Uint8Array());
  expect(await store.holding(digest)).toEqual({ bytes: 0, isWhole: false });
  expect(await send(store, new Uint8Array())).toEqual({ bytes: 0, isWhole: true });
});

test("other bytes than the digest's are refused, and nothing of them is kept", async () => {
  const folder = tempFolder();
  const store = await open({ folder });
  const wanted = { digest: "a".repeat(64), totalBytes: 3, offset: 0 };
  await expect(store.append(wanted, chunksOf(Buffer.from("abc")))).rejects.toThrow(
    `the bytes sent as ${wanted.digest} are those of ${digestOf(Buffer.from("abc"))}`,
  );
  expect(await store.holding(wanted.digest)).toEqual({ bytes: 0, isWhole: false });
  expect(readdirSync(join(folder, "files"))).toEqual([]);
});

test("a range of more than was said is cut off", async () => {
  const store = await open();
  const digest = "b".repeat(64);
  const tooLong = store.append({ digest, totalBytes: 3, offset: 0 }, chunksOf(Buffer.from("abcd")));
  await expect(tooLong).rejects.toThrow("a range of more than 3 bytes");
  const huge = Buffer.alloc(ARTIFACT_RANGE_BYTES / 2 + 1);
  await expect(
    store.append({ digest, totalBytes: 10 ** 9, offset: 0 }, chunksOf(huge, huge)),
  ).rejects.toThrow("a range of more than 16777216 bytes");
});

test("what has no room is refused before it is sent", async () => {
  const store = await open({ maxBytes: 10 });
  await send(store, Buffer.from("12345678"));
  await expect(
    store.append({ digest: "c".repeat(64), totalBytes: 3, offset: 0 }, breakingAfter(Buffer.from("abc"))),
  ).rejects.toThrow("uploads take 8 of the 10 bytes that they may take: no room for 3 more");
});

test.each(["../../etc/passwd", "..", "", "A".repeat(64)])("'%s' names no file", async (digest) => {
  const store = await open();
  await expect(store.holding(digest)).rejects.toThrow("is no sha256 digest");
  expect(() => store.append({ digest, totalBytes: 1, offset: 0 }, chunksOf())).toThrow("is no sha256 digest");
});

test("a manifest's folder has its files under their names, each kept once", async () => {
  const folder = tempFolder();
  const store = await open({ folder });
  const one = await store.folderOf(await sendFolder(store, { "config.json": "{}", "model.bin": "weights" }));
  const two = await store.folderOf(await sendFolder(store, { "config.json": "{}", "model.bin": "others" }));
  expect(readFileSync(join(one, "model.bin"), "utf8")).toBe("weights");
  expect(readFileSync(join(two, "model.bin"), "utf8")).toBe("others");
  expect(realpathSync(join(one, "config.json"))).toBe(realpathSync(join(two, "config.json")));
  expect(await store.folderOf(await sendFolder(store, { "model.bin": "weights", "config.json": "{}" }))).toBe(
    one,
  );
});

test.each(["../model.bin", "/etc/passwd", ".ssh", "a/b", "", "a\0b"])(
  "a manifest that names a file %j is refused",
  async (name) => {
    const store = await open();
    const manifest = await sendFolder(store, { [name]: "weights" });
    await expect(store.folderOf(manifest)).rejects.toThrow(
      `upload:${manifest}: its manifest's files.0.name: must be a plain file name`,
    );
  },
);

test("a folder of which a file is missing is refused with the file's name and what to do", async () => {
  const store = await open();
  const manifest = encodeManifest([{ name: "model.bin", digest: "d".repeat(64), bytes: 5 }]);
  await send(store, manifest);
  await expect(store.folderOf(digestOf(manifest))).rejects.toThrow(
    "'model.bin' is not there: 0 of 5 bytes; send it again with elibad sweep submit --upload",
  );
});

test("what no sweep needs goes once nobody asked for it for a while, and what one needs stays", async () => {
  const folder = tempFolder();
  const store = await open({ folder, keepMs: 60_000 });
  const kept = await sendFolder(store, { "model.bin": "kept" });
  const old = await sendFolder(store, { "model.bin": "old", "config.json": "{}" });
  await store.folderOf(old);
  await expect(
    store.append({ digest: "e".repeat(64), totalBytes: 9, offset: 0 }, breakingAfter(Buffer.from("begun"))),
  ).rejects.toThrow();
  expect(await store.sweep([kept])).toBe(0);
  for (const part of ["files", "partial"]) {
    for (const name of readdirSync(join(folder, part))) utimesSync(join(folder, part, name), 1, 1);
  }
  const asked = digestOf(Buffer.from("{}"));
  await store.holding(asked);
  expect(await store.sweep([kept])).toBeGreaterThan(8);
  expect(readdirSync(join(folder, "files")).sort()).toEqual(
    [kept, digestOf(Buffer.from("kept")), asked].sort(),
  );
  expect(readdirSync(join(folder, "partial"))).toEqual([]);
  expect(readdirSync(join(folder, "folders"))).toEqual([]);
  expect(readFileSync(join(await store.folderOf(kept), "model.bin"), "utf8")).toBe("kept");
});

test("a disk that is full is said to be the coordinator's, and what came up to there stays", async (context) => {
  const disk = await smallDisk(1, context);
  const folder = disk.seenFromHere("uploads");
  const store = await open({ folder });
  const half = Buffer.alloc(700_000, 7);
  const digest = digestOf(Buffer.concat([half, half]));
  const sent = store.append({ digest, totalBytes: 1_400_000, offset: 0 }, chunksOf(half, half));
  await expect(sent).rejects.toThrow(`the coordinator's disk is full, at ${folder}: make room there`);
  expect((await store.holding(digest)).bytes).toBeGreaterThanOrEqual(700_000);
});
