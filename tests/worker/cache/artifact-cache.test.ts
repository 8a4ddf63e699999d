import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { canonicalJson, digestOf } from "../../../proto/canonical-json.ts";
import type { Digest } from "../../../proto/operations.ts";
import { ArtifactCache, type CacheOptions } from "../../../worker/cache/artifact-cache.ts";
import { ArtifactMissingError, ManifestError } from "../../../worker/cache/errors.ts";
import { ByteSource } from "../../support/byte-source.ts";
import { tempFolder } from "../../support/temp-folder.ts";

function putCheckpoint(
  source: ByteSource,
  sizes: readonly number[],
): { checkpoint: Digest; files: Digest[] } {
  const files = sizes.map((size) => source.put(randomBytes(size)));
  const manifest = canonicalJson({
    task: "defect_detection",
    files: files.map((digest, k) => ({ name: `file-${k}`, digest, bytes: sizes[k] })),
  });
  return { checkpoint: source.put(Buffer.from(manifest)), files };
}

const open = (source: ByteSource, options: Partial<CacheOptions> = {}) =>
  ArtifactCache.open({ folder: tempFolder(), maxBytes: 1e9, source, ...options });

test("holding an operation's needs fetches its checkpoint with all files, and its samples", async () => {
  const source = new ByteSource();
  const { checkpoint, files } = putCheckpoint(source, [3_000, 20_000]);
  const samples = source.put(randomBytes(500));
  const cache = await open(source);

  const hold = cache.hold({ checkpoint, others: [samples] });
  await hold.ready;
  for (const digest of [checkpoint, samples, ...files]) {
    expect(digestOf(readFileSync(cache.path(digest)))).toBe(digest);
  }
  expect(await cache.cachedCheckpoints()).toEqual([checkpoint]);
});

test("what is in the cache needs no waiting and no transfer, also for the next process", async () => {
  const source = new ByteSource();
  const { checkpoint } = putCheckpoint(source, [3_000]);
  const folder = tempFolder();
  const cache = await open(source, { folder });
  await cache.hold({ checkpoint, others: [] }).ready;
  const asked = source.ranges.length;

  expect(cache.hold({ checkpoint, others: [] }).ready).toBeUndefined();
  const next = await open(source, { folder });
  expect(await next.cachedCheckpoints()).toEqual([checkpoint]);
  await next.hold({ checkpoint, others: [] }).ready;
  expect(source.ranges).toHaveLength(asked);
});

test("a file that was made here is taken in as a link, and needs no transfer", async () => {
  const source = new ByteSource();
  const { checkpoint } = putCheckpoint(source, [10]);
  const cache = await open(source);
  await cache.hold({ checkpoint, others: [] }).ready;
  const asked = source.ranges.length;
  const own = join(tempFolder(), "own");
  const digest = digestOf(randomBytes(500));
  writeFileSync(own, "state");
  for (let again = 0; again < 2; again++) await cache.adopt(digest, own);

  expect(statSync(cache.path(digest)).ino).toBe(statSync(own).ino);
  expect(cache.hold({ checkpoint, others: [digest] }).ready).toBeUndefined();
  expect(source.ranges).toHaveLength(asked);
});

test("a file that is taken in leaves a transfer of the same artifact alone", async () => {
  const source = new ByteSource();
  const { checkpoint } = putCheckpoint(source, [10]);
  const bytes = randomBytes(500_000);
  const digest = source.put(bytes);
  const cache = await open(source);
  await cache.hold({ checkpoint, others: [] }).ready;
  const own = join(tempFolder(), "own");
  writeFileSync(own, bytes);
  const { ready } = cache.hold({ checkpoint, others: [digest] });
  await expect(Promise.all([ready, ...[1, 2, 3].map(() => cache.adopt(digest, own))])).resolves.toBeDefined();
  expect(digestOf(readFileSync(cache.path(digest)))).toBe(digest);
});

test("an artifact that is not asked for any more is removed, unless an operation holds it", async () => {
  const source = new ByteSource();
  const { checkpoint } = putCheckpoint(source, [10]);
  const state = source.put(randomBytes(500));
  const cache = await open(source);
  const hold = cache.hold({ checkpoint, others: [state] });
  await hold.ready;
  await cache.forget(state);
  expect(statSync(cache.path(state)).size).toBe(500);
  hold.release();
  await cache.forget(state);
  expect(() => statSync(cache.path(state))).toThrow("ENOENT");
  await cache.hold({ checkpoint, others: [state] }).ready;
  expect(statSync(cache.path(state)).size).toBe(500);
});

test("an artifact that another worker of the folder used last is not forgotten by the first", async () => {
  const source = new ByteSource();
  const { checkpoint } = putCheckpoint(source, [10]);
  const state = source.put(randomBytes(500));
  const folder = tempFolder();
  const [first, second] = [await open(source, { folder }), await open(source, { folder })];
  const done = first.hold({ checkpoint, others: [state] });
  await done.ready;
  done.release();
  const goesOn = second.hold({ checkpoint, others: [state] });
  await goesOn.ready;
  await first.forget(state);
  expect(statSync(second.path(state)).size).toBe(500);
  goesOn.release();
  await second.forget(state);
  expect(() => statSync(second.path(state))).toThrow("ENOENT");
});

test("a file that cannot be taken in is left to be fetched", async () => {
  const source = new ByteSource();
  const lines: string[] = [];
  const cache = await open(source, { log: (line) => lines.push(line) });
  await cache.adopt(digestOf("gone"), join(tempFolder(), "gone"));
  expect(lines).toEqual([expect.stringMatching(/^artifact \w{12} is not kept: ENOENT/)]);
  expect(cache.counts().artifacts).toBe(0);
});

test("two operations that wait for one artifact share one transfer, and one of them may go", async () => {
  const source = new ByteSource();
  const { checkpoint, files } = putCheckpoint(source, [3_000]);
  const cache = await open(source);
  const first = cache.hold({ checkpoint, others: [] });
  const second = cache.hold({ checkpoint, others: [] });
  first.ready?.catch(() => {});
  first.release();

  await second.ready;
  expect(source.ranges.filter(({ digest }) => digest === files[0])).toHaveLength(1);
});

test("a transfer that nobody waits for any more ends, and a later one begins anew", async () => {
  const source = new ByteSource();
  const digest = source.put(randomBytes(3_000));
  const { checkpoint } = putCheckpoint(source, [10]);
  const cache = await open(source);
  await cache.hold({ checkpoint, others: [] }).ready;
  let go = () => {};
  source.gate = new Promise((resolve) => {
    go = resolve;
  });

  const first = cache.hold({ checkpoint, others: [digest] });
  first.release();
  const second = cache.hold({ checkpoint, others: [digest] });
  go();
  await expect(first.ready).rejects.toThrow("no operation waits");
  await second.ready;
  expect(statSync(cache.path(digest)).size).toBe(3_000);
});

test("an operation waits for its own artifacts only", async () => {
  const source = new ByteSource();
  const ready = putCheckpoint(source, [100]);
  const missing = digestOf("nowhere");
  const cache = await open(source);

  const stuck = cache.hold({ checkpoint: ready.checkpoint, others: [missing] });
  const free = cache.hold({ checkpoint: ready.checkpoint, others: [] });
  await free.ready;
  await expect(stuck.ready).rejects.toThrow(ArtifactMissingError);
});

test("artifacts are taken from a folder on the same volume as hard links", async () => {
  const source = new ByteSource();
  const { checkpoint, files } = putCheckpoint(source, [3_000]);
  const volume = tempFolder();
  const fetched = await open(source);
  await fetched.hold({ checkpoint, others: [] }).ready;
  for (const digest of [checkpoint, ...files]) linkSync(fetched.path(digest), join(volume, digest));
  writeFileSync(join(volume, "nonce-12345678"), "");
  const told: string[] = [];
  const cache = await open(new ByteSource(), { log: (line) => told.push(line) });

  expect(await cache.useSharedFolder(volume, "12345678")).toBe(true);
  await cache.hold({ checkpoint, others: [] }).ready;
  expect(statSync(cache.path(files[0]!)).ino).toBe(statSync(join(volume, files[0]!)).ino);
  expect(told.join("\n")).toContain("linked");
});

test("a folder without the nonce is another machine's, and one with a wrong file is not believed", async () => {
  const source = new ByteSource();
  const { checkpoint, files } = putCheckpoint(source, [3_000]);
  const volume = tempFolder();
  writeFileSync(join(volume, files[0]!), "not these bytes");
  const cache = await open(source);

  expect(await cache.useSharedFolder(volume, "12345678")).toBe(false);
  expect(await cache.useSharedFolder(volume, "../etc/passwd")).toBe(false);
  writeFileSync(join(volume, "nonce-12345678"), "");
  expect(await cache.useSharedFolder(volume, "12345678")).toBe(true);
  await cache.hold({ checkpoint, others: [] }).ready;
  expect(digestOf(readFileSync(cache.path(files[0]!)))).toBe(files[0]);
});

test("the least recently used artifacts go when the bound is passed, never those that are held", async () => {
  const source = new ByteSource();
  let now = Date.now();
  const cache = await open(source, { maxBytes: 7_000, graceMs: 60_000, now: () => now });
  const { checkpoint } = putCheckpoint(source, [1_000]);
  const [a, b, c] = [1, 2, 3].map(() => source.put(randomBytes(2_500))) as [Digest, Digest, Digest];
  const pass = () => {
    now += 120_000;
  };

  const held = cache.hold({ checkpoint, others: [a] });
  await held.ready;
  pass();
  const brief = cache.hold({ checkpoint, others: [b] });
  await brief.ready;
  brief.release();
  pass();
  await cache.hold({ checkpoint, others: [c] }).ready;

  const there = readdirSync(join(cache.path(a), ".."));
  expect(there).toContain(a);
  expect(there).toContain(c);
  expect(there).not.toContain(b);
  expect(await cache.cachedCheckpoints()).toEqual([checkpoint]);
});

test("an artifact that another worker evicted is fetched again", async () => {
  const source = new ByteSource();
  let now = Date.now();
  const { checkpoint, files } = putCheckpoint(source, [1_000]);
  const folder = tempFolder();
  const cache = await open(source, { folder, now: () => now });
  const first = cache.hold({ checkpoint, others: [] });
  await first.ready;
  first.release();
  mkdirSync(join(folder, "away"));
  const other = await open(source, { folder, maxBytes: 0, graceMs: -1, now: () => now });
  await other.hold({ checkpoint, others: [source.put(randomBytes(10))] }).ready;
  other.close();

  now += 60_000;
  await cache.hold({ checkpoint, others: [] }).ready;
  expect(statSync(cache.path(files[0]!)).size).toBe(1_000);
});

test("a manifest that names a path outside its folder is refused", async () => {
  const source = new ByteSource();
  const file = source.put(randomBytes(10));
  const checkpoint = source.put(
    Buffer.from(
      canonicalJson({ task: "defect_detection", files: [{ name: "../x", digest: file, bytes: 10 }] }),
    ),
  );
  const cache = await open(source);
  await expect(cache.hold({ checkpoint, others: [] }).ready).rejects.toThrow(ManifestError);
  await expect(cache.hold({ checkpoint, others: [] }).ready).rejects.toThrow("files.0.name");
});
