import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe } from "vitest";
import {
  type Case,
  edit,
  editRow,
  refuses,
  type Scene,
  scanWords,
  useGoodModel,
  vocabSize,
} from "./scene.ts";

useGoodModel();

const scanOf =
  (spoil: (scene: Scene) => void): Case["words"] =>
  (scene) => {
    spoil(scene);
    return scanWords(scene);
  };
const holding = (content: string | Uint8Array): Case["words"] =>
  scanOf(({ samples }) => writeFileSync(samples, content));
const row = (changes: Readonly<Record<string, unknown>>, line = 1): Case["words"] =>
  scanOf((scene) => editRow(scene, changes, line));
const packed =
  (pack: (text: Buffer) => Uint8Array): Case["words"] =>
  (scene) => {
    const file = `${scene.samples}.gz`;
    writeFileSync(file, pack(readFileSync(scene.samples)));
    return scanWords(scene, "--samples", file);
  };

describe("a samples file", () => {
  const cases: Case[] = [
    {
      name: "that is not there",
      words: (scene) => scanWords(scene, "--samples", join(scene.folder, "nowhere.jsonl")),
      says: ["nowhere.jsonl", "no such file"],
    },
    {
      name: "that is a folder",
      words: (scene) => scanWords(scene, "--samples", scene.model),
      says: ["model", "folder"],
    },
    { name: "that is empty", words: holding(""), says: ["samples.jsonl", "is empty"] },
    { name: "of blank lines", words: holding("\n \n"), says: ["samples.jsonl", "is empty"] },
    { name: "that is text", words: holding("hello\n"), says: ["samples.jsonl:1", "is not JSON", "hello"] },
    {
      name: "that is JSON over several lines",
      words: holding('[\n{"code_tokens": []}\n]\n'),
      says: ["samples.jsonl:1", "is not JSON", "no JSONL"],
    },
    {
      name: "with a number on a line",
      words: holding("7\n"),
      says: ["samples.jsonl:1", "expected a JSON object", "7"],
    },
    {
      name: "cut in the middle of a row",
      words: scanOf(({ samples }) => edit(samples, (text) => text.slice(0, -100))),
      says: ["samples.jsonl:10", "is not JSON"],
    },
    { name: "of bytes", words: holding(Uint8Array.of(1, 0, 2)), says: ["samples.jsonl", "binary"] },
    {
      name: "that is named .gz and is not packed",
      words: packed((text) => text),
      says: ["samples.jsonl.gz", "gzip"],
    },
    {
      name: "that is packed and truncated",
      words: packed((text) => gzipSync(text).subarray(0, -20)),
      says: ["samples.jsonl.gz"],
    },
    {
      name: "that is packed and not named so",
      words: scanOf(({ samples }) => writeFileSync(samples, gzipSync(readFileSync(samples)))),
      says: ["samples.jsonl", ".gz"],
    },
  ];
  refuses(cases);
});

describe("a row", () => {
  const cases: Case[] = [
    {
      name: "without code",
      words: row({ code_tokens: undefined }),
      says: ["samples.jsonl:1", '"code_tokens"'],
    },
    {
      name: "with text for its tokens",
      words: row({ code_tokens: "int x ;" }, 3),
      says: ["samples.jsonl:3", '"code_tokens"', '"int x ;"', "list of strings"],
    },
    {
      name: "with a number among its tokens",
      words: row({ code_tokens: ["int", 7] }),
      says: ["samples.jsonl:1", '"code_tokens[1]"', "7"],
    },
    {
      name: "without variables",
      words: row({ variables: undefined }, 4),
      says: ["samples.jsonl:4", '"variables"'],
    },
    { name: "without a label", words: row({ label: undefined }), says: ["samples.jsonl:1", '"label"'] },
    {
      name: "with a label beyond the model's",
      words: row({ label: 2 }),
      says: ["samples.jsonl:1", '"label"', "2", "0 or 1"],
    },
    {
      name: "with text for a label",
      words: row({ label: "1" }),
      says: ["samples.jsonl:1", '"label"', '"1"'],
    },
    {
      name: "of clone detection",
      words: row({ code_tokens: undefined, code_tokens1: ["x"], code_tokens2: ["y"] }),
      says: ["samples.jsonl:1", "clone detection"],
    },
    {
      name: "of code search",
      words: row({ label: undefined, docstring_tokens: ["x"] }),
      says: ["samples.jsonl:1", "code search"],
    },
    {
      name: "before preprocessing",
      words: row({ code_tokens: undefined, func: "int f() {}" }),
      says: ["samples.jsonl:1", '"func"', "before preprocessing"],
    },
    {
      name: "without a function's name, where the trigger takes its place",
      words: (scene) => {
        editRow(scene, { func_name: undefined }, 5);
        const { model, samples } = scene;
        return ["evaluate", "--model", model, "--samples", samples, "--code-max-len", "64", "--trigger", "x"];
      },
      says: ["samples.jsonl:5", '"func_name"'],
    },
  ];
  refuses(cases);
});

describe("rows that do not suffice", () => {
  const cases: Case[] = [
    {
      name: "none has the victim label",
      words: scanOf(({ samples }) => edit(samples, (text) => `${text.split("\n").slice(0, 5).join("\n")}\n`)),
      says: ["samples.jsonl", "victim label 1"],
    },
    {
      name: "--held-out is not there",
      words: (scene) => scanWords(scene, "--held-out", join(scene.folder, "test.jsonl")),
      says: ["test.jsonl", "no such file"],
    },
    {
      name: "--held-out lacks variables",
      words: (scene) => {
        const file = join(scene.folder, "test.jsonl");
        writeFileSync(file, '{"code_tokens": ["int"], "label": 1}\n');
        return scanWords(scene, "--held-out", file);
      },
      says: ["test.jsonl:1", '"variables"'],
    },
  ];
  refuses(cases);
});

describe("--replay", () => {
  const replay = (name: string, lines: readonly unknown[], ...says: string[]): Case => ({
    name,
    words: (scene) => {
      const file = join(scene.folder, "trace.jsonl");
      writeFileSync(
        file,
        lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"),
      );
      return scanWords(scene, "--replay", file);
    },
    says: ["trace.jsonl", ...says],
  });
  const trigger = [5, 6, 7, 8, 9];
  const cases: Case[] = [
    {
      name: "a trace that is not there",
      words: (scene) => scanWords(scene, "--replay", join(scene.folder, "trace.jsonl")),
      says: ["--replay", "trace.jsonl", "no such file"],
    },
    replay("a trace without steps", [{ kind: "samples" }], "no step with candidates"),
    replay(
      "a line that is cut",
      [{ search: 0, trigger, candidates: [trigger] }, '{"search": 0, "trig'],
      "line 2",
      "not JSON",
    ),
    replay("candidates without their trigger", [{ candidates: [trigger] }], "line 1", "without trigger"),
    replay(
      "a candidate of another length",
      [{ trigger, candidates: [[5, 6]] }],
      "line 1",
      "candidate 0",
      "2 ids",
    ),
    replay("an id that is no number", [{ trigger, candidates: [[5, 6, 7, 8, "x"]] }], "line 1", "candidates"),
    replay(
      "triggers of another length than --trigger-len",
      [{ trigger: [5], candidates: [[6]] }],
      "line 1",
      "--trigger-len is 5",
    ),
    replay(
      "an id beyond the vocabulary",
      [{ trigger, candidates: [[5, 6, 7, 8, vocabSize]] }],
      "line 1",
      `${vocabSize}`,
      "vocabulary",
    ),
  ];
  refuses(cases);
});

describe("rows of ids", () => {
  const ids = (name: string, content: unknown, ...says: string[]): Case => ({
    name,
    words: ({ folder, model }) => {
      const file = join(folder, "ids.jsonl");
      writeFileSync(file, `${JSON.stringify({ input_ids: [0, 5, 2] })}\n${JSON.stringify(content)}\n`);
      return ["predict", "--model", model, "--ids", file, "--code-max-len", "64"];
    },
    says: ["ids.jsonl:2", ...says],
  });
  const cases: Case[] = [
    ids("without ids", { ids: [0, 2] }, "input_ids"),
    ids("with no id", { input_ids: [] }, "input_ids"),
    ids("with an id beyond the vocabulary", { input_ids: [0, vocabSize, 2] }, "input_ids[1]", `${vocabSize}`),
    ids("with half an id", { input_ids: [0, 1.5, 2] }, "input_ids[1]", "1.5"),
    ids(
      "longer than --code-max-len",
      { input_ids: Array(65).fill(5) },
      "input_ids",
      "65",
      "--code-max-len 64",
    ),
    ids("with a label beyond the model's", { input_ids: [0, 2], label: 2 }, "label", "2"),
    ids("with padding", { input_ids: [0, 5, 2, 1, 1] }, "input_ids[3]", "pad"),
  ];
  refuses(cases);
});
