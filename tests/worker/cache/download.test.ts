import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { digestOf } from "../../../proto/canonical-json.ts";
import { download } from "../../../worker/cache/download.ts";
import { ArtifactCorruptError, ArtifactMissingError } from "../../../worker/cache/errors.ts";
import { ByteSource } from "../../support/byte-source.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const never = new AbortController().signal;

function setUp(bytes: Buffer) {
  const source = new ByteSource();
  const digest = source.put(bytes);
  const partialPath = join(tempFolder(), "partial");
  const run = (signal = never) =>
    download({ digest, partialPath, source, signal, rangeBytes: 10_000, retryMs: () => 1 });
  return { source, digest, partialPath, run };
}

test("an artifact comes in ranges and is whole", async () => {
  const bytes = randomBytes(25_500);
  const { source, partialPath, run } = setUp(bytes);

  expect(await run()).toBe(25_500);
  expect(readFileSync(partialPath).equals(bytes)).toBe(true);
  expect(source.ranges.map(({ offset, length }) => [offset, length])).toEqual([
    [0, 10_000],
    [10_000, 10_000],
    [20_000, 5_500],
  ]);
});

test("a broken transfer continues at its last byte", async () => {
  const bytes = randomBytes(25_000);
  const { source, partialPath, run } = setUp(bytes);
  source.breaksAfter.push(Number.POSITIVE_INFINITY, 3_000);

  await run();
  expect(readFileSync(partialPath).equals(bytes)).toBe(true);
  expect(source.ranges.map(({ offset }) => offset)).toEqual([0, 10_000, 13_000, 23_000]);
});

test("what a former process left is continued, even where only the renaming was missing", async () => {
  for (const there of [12_000, 25_000]) {
    const bytes = randomBytes(25_000);
    const { source, partialPath, run } = setUp(bytes);
    writeFileSync(partialPath, bytes.subarray(0, there));

    await run();
    expect(readFileSync(partialPath).equals(bytes)).toBe(true);
    expect(source.ranges[0]?.offset).toBe(there - 1);
  }
});

test("a partial file with wrong bytes is thrown away and the artifact fetched anew", async () => {
  const bytes = randomBytes(25_000);
  const { source, partialPath, run } = setUp(bytes);
  writeFileSync(partialPath, Buffer.alloc(12_000));

  await run();
  expect(readFileSync(partialPath).equals(bytes)).toBe(true);
  expect(source.ranges.filter(({ offset }) => offset === 0)).toHaveLength(1);
});

test("bytes that do not give the digest are refused and do not stay", async () => {
  const source = new ByteSource();
  const digest = source.put(randomBytes(5_000), digestOf("something else"));
  const partialPath = join(tempFolder(), "partial");

  await expect(download({ digest, partialPath, source, signal: never })).rejects.toThrow(
    ArtifactCorruptError,
  );
  expect(readFileSync(partialPath)).toHaveLength(0);
});

test("an artifact that the source does not know is not waited for", async () => {
  const { source, partialPath } = setUp(randomBytes(10));
  const digest = digestOf("unknown");
  await expect(download({ digest, partialPath, source, signal: never })).rejects.toThrow(
    ArtifactMissingError,
  );
});

test("an artifact of no bytes is fetched", async () => {
  const { run } = setUp(Buffer.alloc(0));
  expect(await run()).toBe(0);
});

test("a download whose signal aborts ends with the signal's reason and keeps what it has", async () => {
  const { source, digest, partialPath } = setUp(randomBytes(25_000));
  source.breaksAfter.push(4_000);
  const abort = new AbortController();
  const onBroken = () => abort.abort(new Error("drained"));
  const options = { digest, partialPath, source, signal: abort.signal, onBroken };
  await expect(download(options)).rejects.toThrow("drained");
  expect(readFileSync(partialPath)).toHaveLength(4_000);
});
