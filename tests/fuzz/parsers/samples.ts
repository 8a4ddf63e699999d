import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { readClonePairs } from "../../../coordinator/data/clone-pairs.ts";
import { readCloneRows } from "../../../coordinator/data/clone-rows.ts";
import { readDefectRows } from "../../../coordinator/data/samples.ts";
import { readSearchRows } from "../../../coordinator/data/search-rows.ts";
import { validOf } from "../corpus.ts";
import { byteChanges, changedBytes } from "../generate/bytes.ts";
import { deepJson } from "../generate/json.ts";
import { changedJsonLines, jsonLinesChange, jsonLinesOf } from "../generate/json-lines.ts";
import { changedLines, lineChanges } from "../generate/lines.ts";
import type { Files, Parser } from "../parser.ts";

/** How the rows of a file are read, by the file's name without `.gz`. */
const readers: Readonly<Record<string, (file: string, folder: string) => unknown>> = {
  "defect.jsonl": (file) => readDefectRows(file, { need: ["variables", "func_name"] }),
  "clone.jsonl": (file) => readCloneRows(file, { need: ["variables1", "func_name1"] }),
  "search.jsonl": (file) => readSearchRows(file, { need: ["variables"] }),
  "functions.jsonl": (file, folder) => readClonePairs(file, join(folder, "pairs.txt")),
};

const seeds = validOf("samples").map((files) => {
  const name = Object.keys(files).find((each) => each.endsWith(".jsonl"))!;
  const lines = Buffer.from(files[name]!).toString("utf8").trimEnd().split("\n");
  return { files, name, parts: jsonLinesOf(lines) };
});

const rows = fc
  .record({
    seed: fc.nat(seeds.length - 1),
    change: jsonLinesChange,
    bytes: byteChanges,
    isPacked: fc.nat(9).map((n) => n === 9),
  })
  .map(({ seed, change, bytes, isPacked }): Files => {
    const { files, name, parts } = seeds[seed]!;
    const text = changedBytes(Buffer.from(changedJsonLines(parts, change).join("\n")), bytes);
    const { [name]: _, ...others } = files;
    return isPacked
      ? { ...others, [`${name}.gz`]: gzipSync(text, { level: 1 }) }
      : { ...others, [name]: text };
  });

const pairs = fc.record({ changes: lineChanges }).map(({ changes }): Files => {
  const { files } = seeds.find(({ name }) => name === "functions.jsonl")!;
  const lines = Buffer.from(files["pairs.txt"]!).toString("utf8").split("\n");
  return { ...files, "pairs.txt": Buffer.from(changedLines(lines, changes).join("\n")) };
});

export const samples: Parser = {
  name: "samples",
  runs: 8_000,
  inputs: fc.oneof({ weight: 9, arbitrary: rows }, { weight: 1, arbitrary: pairs }),
  extremes: () => ({
    "brackets in brackets": { "defect.jsonl": Buffer.from(deepJson(1_000_000)) },
    "a token of brackets": {
      "defect.jsonl": Buffer.from(`{"code_tokens":[${deepJson(100_000)}],"label":1}`),
    },
    "a label of brackets": {
      "defect.jsonl": Buffer.from(`{"code_tokens":["a"],"label":${deepJson(100_000)}}`),
    },
    "three million empty lines": { "defect.jsonl": Buffer.alloc(3_000_000, "\n") },
    "a bomb of line ends": { "defect.jsonl.gz": gzipSync(Buffer.alloc(2 ** 26, "\n"), { level: 1 }) },
    "a bomb of blanks": { "defect.jsonl.gz": gzipSync(Buffer.alloc(2 ** 26, " "), { level: 1 }) },
    "a bomb of zeros": { "clone.jsonl.gz": gzipSync(Buffer.alloc(2 ** 26), { level: 1 }) },
    "a hundred thousand objects": { "search.jsonl": Buffer.from("{}\n".repeat(100_000)) },
  }),
  onDisk: true,
  parse(files, folder) {
    for (const [name, read] of Object.entries(readers))
      for (const file of [name, `${name}.gz`])
        if (files[file] !== undefined) read(join(folder, file), folder);
  },
  errors: ["SamplesError"],
  isHeaderError: ({ message }) =>
    /is not JSON|expected a JSON object|is empty: expected one|binary file|gzipped|cannot be unpacked/.test(
      message,
    ),
};
