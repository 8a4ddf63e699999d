import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../../proto/package-root.ts";
import { CheckpointError } from "../../../worker/checkpoint/checkpoint-error.ts";
import { crc32, tableCrc32 } from "../../../worker/checkpoint/crc32.ts";
import type { NewTensor } from "../../../worker/checkpoint/new-tensor.ts";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { readTensorBytes } from "../../../worker/checkpoint/read-tensor.ts";
import { verifyWeights } from "../../../worker/checkpoint/verify-weights.ts";
import { writeSafetensors } from "../../../worker/checkpoint/write-safetensors.ts";
import { writeTorchZip } from "../../../worker/checkpoint/write-torch-zip.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const tensors: NewTensor[] = [
  { name: "wide", dtype: "float64", shape: [2], data: Float32Array.of(1, 2) },
  { name: "matrix", dtype: "float32", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
  { name: "half", dtype: "float16", shape: [3], data: Float32Array.of(1, -2, 3) },
  { name: "brain", dtype: "bfloat16", shape: [3], data: Float32Array.of(1, -2, 3) },
];

const containers = [
  { file: "model.safetensors", write: writeSafetensors },
  { file: "model.bin", write: writeTorchZip },
];

describe.each([
  { name: "wide", element: 1, bytes: [0, 0, 0, 0, 0, 0, 0xf0, 0x7f], what: "infinity" },
  { name: "matrix", element: 4, bytes: [1, 0, 0x80, 0xff], what: "NaN" },
  { name: "half", element: 2, bytes: [0, 0xfc], what: "minus infinity" },
  { name: "brain", element: 0, bytes: [0xc0, 0x7f], what: "NaN" },
])("$what in $name", ({ name, element, bytes }) => {
  test("is named with file, tensor and element", async () => {
    const folder = tempFolder();
    const path = join(folder, "model.safetensors");
    await writeSafetensors(path, tensors);
    const checkpoint = await openCheckpoint(folder);
    await verifyWeights(checkpoint);
    const content = readFileSync(path);
    content.set(bytes, checkpoint.tensors.get(name)!.offset + element * bytes.length);
    writeFileSync(path, content);
    await expect(verifyWeights(checkpoint)).rejects.toThrow(
      `${path}: tensor "${name}": element ${element} is NaN or infinite`,
    );
  });
});

test("a flipped bit in the weights of a torch archive is noticed, wherever it is", async () => {
  const folder = tempFolder();
  const path = join(folder, "model.bin");
  await writeTorchZip(path, tensors);
  const good = readFileSync(path);
  const checkpoint = await openCheckpoint(folder);
  for (const { offset, byteLength } of checkpoint.tensors.values())
    for (let bit = 0; bit < byteLength * 8; bit += 5) {
      const flipped = Buffer.from(good);
      flipped[offset + (bit >> 3)]! ^= 1 << (bit & 7);
      writeFileSync(path, flipped);
      await expect(verifyWeights(checkpoint)).rejects.toThrow(
        /entry "archive\/data\/\d": its CRC-32 does not fit/,
      );
    }
});

/** A few bytes exchanged, perhaps a piece copied elsewhere, perhaps the end cut off; positions as shares of the length. */
const position = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const damages = fc.record({
  bytes: fc.array(fc.record({ at: position, to: fc.nat(255) }), { maxLength: 4 }),
  copied: fc.option(fc.tuple(position, position, fc.nat(64)), { freq: 4, nil: undefined }),
  cut: fc.option(position, { freq: 4, nil: undefined }),
});

function damaged(
  good: Buffer,
  { bytes, copied, cut }: typeof damages extends fc.Arbitrary<infer D> ? D : never,
): Buffer {
  const content = Buffer.from(good);
  const index = (share: number) => Math.floor(share * content.length);
  for (const { at, to } of bytes) content[index(at)] = to;
  if (copied) content.copy(content, index(copied[0]), index(copied[1]), index(copied[1]) + copied[2]);
  return cut === undefined ? content : content.subarray(0, index(cut));
}

test.each([...containers, { file: "model.bin", fixture: "mixed.bin" }])(
  "$file ($fixture) after damage gives a result or a CheckpointError, never anything else, and never hangs",
  async (container) => {
    const folder = tempFolder();
    const path = join(folder, container.file);
    if ("write" in container) await container.write(path, tensors);
    const fixtures = join(packageRoot, "tests", "worker", "checkpoint", "fixtures");
    const good = readFileSync("write" in container ? path : join(fixtures, container.fixture));
    const outcomes = { read: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(damages, async (damage) => {
        writeFileSync(path, damaged(good, damage));
        try {
          const checkpoint = await openCheckpoint(folder);
          for (const entry of checkpoint.tensors.values())
            expect(await readTensorBytes(entry)).toHaveLength(entry.byteLength);
          await verifyWeights(checkpoint);
          outcomes.read += 1;
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
          outcomes.refused += 1;
        }
      }),
      { numRuns: 250 },
    );
    expect(Math.min(outcomes.read, outcomes.refused)).toBeGreaterThan(0);
  },
);

test("the table of Node before 20.15 gives zlib's CRC-32", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 100 }), (a, b) => {
      expect(tableCrc32(b, tableCrc32(a))).toBe(crc32(Buffer.concat([a, b])));
    }),
  );
  expect(tableCrc32(Buffer.from("123456789"))).toBe(0xcbf43926);
});
