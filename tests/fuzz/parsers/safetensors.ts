import fc from "fast-check";
import { validOf } from "../corpus.ts";
import { byteChanges, changedBytes } from "../generate/bytes.ts";
import { changedJson, deepJson, type Json, jsonChanges, jsonOf, jsonText } from "../generate/json.ts";
import type { Files, Parser } from "../parser.ts";
import { openAndVerify } from "./torch-zip.ts";

/** A safetensors file of a header's text and the data behind it. */
function safetensors(header: string, data: Uint8Array, more = 0): Buffer {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt.asUintN(64, BigInt(json.length + more)));
  return Buffer.concat([length, json, data]);
}

/** A file as its header's tree and its data. */
interface Parts {
  readonly header: Json;
  readonly data: Uint8Array;
}

function partsOf(bytes: Uint8Array): Parts {
  const file = Buffer.from(bytes);
  const end = 8 + Number(file.readBigUInt64LE());
  return { header: jsonOf(JSON.parse(file.subarray(8, end).toString("utf8"))), data: file.subarray(end) };
}

const seeds = validOf("safetensors").map((files) => ({
  files,
  parts: Object.entries(files)
    .filter(([name]) => name.endsWith(".safetensors"))
    .map(([name, bytes]) => [name, partsOf(bytes)] as const),
  index:
    files["model.safetensors.index.json"] &&
    jsonOf(JSON.parse(Buffer.from(files["model.safetensors.index.json"]).toString("utf8"))),
}));

const inputs = fc
  .record({
    seed: fc.nat(seeds.length - 1),
    file: fc.nat(5),
    changes: jsonChanges,
    /** What the length says beyond the header's own. */
    more: fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, fc.constantFrom(1, -1, 8, 2 ** 25, -(2 ** 40))),
    bytes: byteChanges,
  })
  .map(({ seed, file, changes, more, bytes }): Files => {
    const { files, parts, index } = seeds[seed]!;
    // Of a checkpoint in several files the index is one more.
    if (index !== undefined && file % 2 === 0) {
      const text = Buffer.from(jsonText(changedJson(index, changes)));
      return { ...files, "model.safetensors.index.json": changedBytes(text, bytes) };
    }
    const [name, { header, data }] = parts[file % parts.length]!;
    const changed = safetensors(jsonText(changedJson(header, changes)), data, more);
    return { ...files, [name]: changedBytes(changed, bytes) };
  });

export const safetensorsParser: Parser = {
  name: "safetensors",
  runs: 6_000,
  inputs,
  extremes: () => {
    const tensor = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}';
    const field = (dtype: string) => `{"a":{"dtype":${dtype},"shape":[0],"data_offsets":[0,0]}}`;
    const cases = {
      "brackets in brackets": deepJson(2_000_000),
      "a dtype of brackets": field(deepJson(100_000)),
      "offsets of brackets": `{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,${deepJson(100_000)}]}}`,
      "ten million numbers": `{"a":{"dtype":"F32","shape":[${"0,".repeat(10_000_000)}0],"data_offsets":[0,0]}}`,
      "five million objects": `{"a":[${"{},".repeat(5_000_000)}{}]}`,
      "a million names": `{${Array.from({ length: 600_000 }, (_, k) => `"${k}":${tensor}`).join()}}`,
    };
    return Object.fromEntries(
      Object.entries(cases).map(([name, header]) => [
        name,
        { "model.safetensors": safetensors(header, new Uint8Array()) },
      ]),
    );
  },
  onDisk: true,
  parse: (_, folder) => openAndVerify(folder),
  errors: ["CheckpointError"],
  isHeaderError: ({ message }) => /: (byte 0|header|header length|file): /.test(message),
};
