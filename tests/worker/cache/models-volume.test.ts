import { randomBytes } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { digestOf } from "../../../proto/canonical-json.ts";
import { ArtifactCache } from "../../../worker/cache/artifact-cache.ts";
import { ownerName } from "../../../worker/cache/owner.ts";
import { ByteSource } from "../../support/byte-source.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** A volume with one file, whose artifact the coordinator says to lie at `place`. */
async function scene(place = "models/a/model.bin") {
  const source = new ByteSource();
  const bytes = randomBytes(20_000);
  const digest = source.put(bytes);
  const config = { name: "config.json", digest: source.put(Buffer.from("{}")), bytes: 2 };
  const manifest = JSON.stringify({ task: "defect_detection", files: [config] });
  const checkpoint = source.put(Buffer.from(manifest));
  const volume = tempFolder();
  const file = join(volume, "models", "a", "model.bin");
  mkdirSync(join(volume, "models", "a"), { recursive: true });
  writeFileSync(file, bytes);
  const lines: string[] = [];
  let now = Date.now();
  const cache = await ArtifactCache.open({
    folder: tempFolder(),
    maxBytes: 1e9,
    source,
    models: { folder: volume, locate: async (asked) => (asked === digest ? place : undefined) },
    log: (line) => void lines.push(line),
    now: () => now,
  });
  const fetched = () => source.ranges.filter((range) => range.digest === digest).length;
  const hold = async () => {
    now += 60_000;
    const held = cache.hold({ checkpoint, others: [digest] });
    await held.ready;
    held.release();
  };
  return { source, bytes, digest, volume, file, lines, cache, fetched, hold };
}

test("a file of the volume is used where it lies: nothing is fetched, copied or counted", async () => {
  const { digest, file, lines, cache, fetched, hold } = await scene();
  await hold();
  expect(readlinkSync(cache.path(digest))).toBe(file);
  expect(fetched()).toBe(0);
  expect(cache.counts().bytes).toBeLessThan(1_000);
  expect(lines.join("\n")).toContain(`artifact ${digest.slice(0, 12)} (20000 bytes) used in place`);
});

test.each([
  "../outside",
  "/etc/passwd",
  "models/../../outside",
  "models/leads-out",
  "models/a",
  "models/no-such",
])("%s names no file of the volume: the artifact is fetched", async (place) => {
  const { bytes, digest, volume, cache, fetched, hold } = await scene(place);
  const outside = join(tempFolder(), "outside");
  writeFileSync(outside, bytes);
  symlinkSync(outside, join(volume, "models", "leads-out"));
  await hold();
  expect(lstatSync(cache.path(digest)).isFile()).toBe(true);
  expect(fetched()).toBeGreaterThan(0);
});

test("a file of other bytes is not used, and the artifact is fetched", async () => {
  const { digest, file, lines, cache, fetched, hold } = await scene();
  writeFileSync(file, "other bytes");
  await hold();
  expect(digestOf(readFileSync(cache.path(digest)))).toBe(digest);
  expect(fetched()).toBeGreaterThan(0);
  expect(lines.join("\n")).toContain("the volume of models does not help");
});

test("a file that is replaced is noticed when it is used next, and the right bytes are fetched", async () => {
  const { digest, file, lines, cache, fetched, hold } = await scene();
  await hold();
  writeFileSync(`${file}.new`, "another model");
  renameSync(`${file}.new`, file);
  await hold();
  expect(lines.join("\n")).toContain(`${file} is another file now`);
  expect(digestOf(readFileSync(cache.path(digest)))).toBe(digest);
  expect(fetched()).toBeGreaterThan(0);
});

test("a link that a killed process left among what is on its way is never written through", async () => {
  const { bytes, digest, file, cache, hold } = await scene("models/no-such");
  symlinkSync(file, join(cache.path(digest), "..", "..", "partial", `${digest}.${ownerName}`));
  await hold();
  expect(readFileSync(file)).toEqual(bytes);
  expect(lstatSync(cache.path(digest)).isFile()).toBe(true);
});
