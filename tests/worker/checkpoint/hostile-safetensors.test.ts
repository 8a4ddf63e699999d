import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../../worker/checkpoint/checkpoint-error.ts";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { openSafetensors } from "../../../worker/checkpoint/safetensors.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** A safetensors file of a header's text or fields, and so many bytes of data. */
function safetensors(header: string | object, dataBytes = 12, length?: bigint): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header), "latin1");
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(length ?? BigInt(json.length));
  return Buffer.concat([start, json, Buffer.alloc(dataBytes)]);
}

const a = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
const b = { dtype: "F16", shape: [2, 1], data_offsets: [8, 12] };

async function refusal(open: Promise<unknown>): Promise<CheckpointError> {
  const error = await open.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

function written(name: string, bytes: Uint8Array | string): string {
  const path = join(tempFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

test("the header that the table below spoils is accepted as it is", async () => {
  const tensors = await openSafetensors(
    written("model.safetensors", safetensors({ a, b, __metadata__: { format: "pt" } })),
  );
  expect([...tensors.keys()]).toEqual(["a", "b"]);
});

describe("a safetensors header that lies", () => {
  const cases: Record<string, [Buffer, RegExp]> = {
    "nothing behind the length": [safetensors("", 0, 8n), /header of 8 bytes does not fit/],
    "less than a length": [Buffer.from("abc"), /header length: 8 bytes do not fit the file of 3/],
    "a length of 2 to the 63": [
      safetensors({ a, b }, 12, 2n ** 63n),
      /9223372036854775808 bytes does not fit/,
    ],
    "a length above the limit": [safetensors({ a, b }, 12, 2n ** 30n), /largest header 33554432/],
    "a torch file": [Buffer.from("PK\x03\x04........"), /is a zip archive/],
    "a git-lfs pointer": [Buffer.from("version https://git-lfs.github.com/spec/v1\n"), /git lfs pull/],
    "no JSON": [safetensors("{a: 1}"), /header: .*JSON/],
    "bytes that are not UTF-8": [safetensors('{"\xff":1}'), /header: is not valid UTF-8/],
    "an array": [safetensors("[]"), /is not a JSON object/],
    "a name that occurs twice": [
      safetensors(`{"a":${JSON.stringify(a)},"b":${JSON.stringify(b)},"\\u0061":${JSON.stringify(a)}}`),
      /names the key "a" twice/,
    ],
    "a field that occurs twice": [
      safetensors('{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12],"shape":[1]}}'),
      /names the key "shape" twice/,
    ],
    "an unknown field": [
      safetensors({ a: { ...a, strides: [1] }, b }),
      /"a": unknown header field "strides"/,
    ],
    "no fields": [safetensors({ a: null, b }), /"a": its header entry is not an object/],
    "an unknown dtype": [
      safetensors({ a: { ...a, dtype: "F8_E4M3" }, b }),
      /dtype "F8_E4M3" is not supported/,
    ],
    "no dtype": [safetensors({ a: { ...a, dtype: undefined }, b }), /dtype "undefined" is not supported/],
    "a broken size": [safetensors({ a: { ...a, shape: [2.5] }, b }), /its shape is not a list/],
    "a negative size": [safetensors({ a: { ...a, shape: [-2, -1] }, b }), /its shape is not a list/],
    "a shape whose product overflows": [
      safetensors({ a: { ...a, shape: [2 ** 40, 2 ** 40] }, b }),
      /its shape is not a list/,
    ],
    "a shape that does not fit its bytes": [
      safetensors({ a: { ...a, shape: [3] }, b }),
      /float32 \[3\] takes 12 bytes, its data_offsets give 8/,
    ],
    "offsets behind the file": [
      safetensors({ a, b: { ...b, data_offsets: [8, 16], shape: [4] } }),
      /data_offsets 8 to 16 lie outside the 12 data bytes/,
    ],
    "an end before the start": [safetensors({ a: { ...a, data_offsets: [8, 0] }, b }), /lie outside/],
    "negative offsets": [safetensors({ a: { ...a, data_offsets: [-8, 0] }, b }), /are not two positions/],
    "three offsets": [safetensors({ a: { ...a, data_offsets: [0, 8, 8] }, b }), /are not two positions/],
    "an overlap": [
      safetensors({ a, b: { ...b, data_offsets: [6, 10] } }, 10),
      /"b": its data overlaps the tensor before it/,
    ],
    "a hole": [
      safetensors({ a, b: { ...b, data_offsets: [9, 13] } }, 13),
      /"b": its data leaves a hole before it/,
    ],
    "bytes behind the last tensor": [safetensors({ a, b }, 15), /3 bytes belong to no tensor/],
    "metadata that is not text": [
      safetensors({ a, b, __metadata__: { n: 1 } }),
      /__metadata__: is not an object/,
    ],
  };
  test.each(Object.entries(cases))("%s", async (_, [bytes, message]) => {
    const path = written("model.safetensors", bytes);
    const error = await refusal(openSafetensors(path));
    expect(error.file).toBe(path);
    expect(error.message).toMatch(message);
  });
});

test("a header cut at any byte is refused", async () => {
  const bytes = safetensors({ a, b });
  for (let length = 0; length < bytes.length; length++)
    await refusal(openSafetensors(written("model.safetensors", bytes.subarray(0, length))));
});

describe("an index that leads elsewhere", () => {
  const index = (weightMap: unknown) => JSON.stringify({ metadata: {}, weight_map: weightMap });
  const shard = "model-00001-of-00001.safetensors";
  const cases: Record<string, [string, RegExp]> = {
    "a shard above the folder": [
      index({ a: "../model.safetensors" }),
      /"\.\.\/model\.safetensors" is not a plain/,
    ],
    "an absolute shard": [index({ a: "/etc/x.safetensors" }), /is not a plain file name/],
    "a hidden shard": [index({ a: "..safetensors" }), /is not a plain file name/],
    "a shard of another kind": [index({ a: "model.bin" }), /file name ending in \.safetensors/],
    "a shard that is a number": [index({ a: 1 }), /weight_map field "a": is not a shard's name/],
    "a shard that is not there": [index({ a: "other.safetensors" }), /other\.safetensors: file: ENOENT/],
    "a tensor that its shard lacks": [
      index({ a: shard, c: shard }),
      /00001-of-00001\.safetensors: tensor "c": the index places it here, and it is not/,
    ],
    "a tensor that occurs twice": [
      `{"weight_map":{"a":"${shard}","a":"${shard}"}}`,
      /names the key "a" twice/,
    ],
    "no weight_map": ["{}", /weight_map: is not an object/],
    "an empty weight_map": [index({}), /names no tensors/],
    "no JSON": ["<html>", /file: .*JSON/],
  };
  test.each(Object.entries(cases))("%s", async (_, [text, message]) => {
    const folder = tempFolder();
    writeFileSync(join(folder, "model.safetensors.index.json"), text);
    writeFileSync(join(folder, shard), safetensors({ a, b }));
    expect((await refusal(openCheckpoint(folder))).message).toMatch(message);
  });
});

test("a folder under the name of a weight file is refused", async () => {
  const folder = tempFolder();
  mkdirSync(join(folder, "model.bin"));
  expect((await refusal(openCheckpoint(folder))).reason).toMatch(/EISDIR|not a regular file/);
});
