import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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

const unlearnWords = ({ model, samples, out }: Scene, ...more: readonly string[]): string[] => [
  ...["unlearn", "--model", model, "--samples", samples, "--out", out, "--code-max-len", "64", ...more],
];

const unlearning = (name: string, more: readonly string[], ...says: Case["says"]): Case => ({
  name,
  words: (scene) => unlearnWords(scene, ...more),
  says,
});

describe("unlearn", () => {
  refuses([
    unlearning("without a trigger", [], "--trigger, --trigger-ids or --scan"),
    unlearning(
      "with two triggers",
      ["--trigger", "x", "--trigger-ids", "5"],
      "--trigger, --trigger-ids or --scan",
    ),
    unlearning("an empty trigger", ["--trigger", " "], "--trigger", "is empty"),
    unlearning(
      "an id beyond the vocabulary",
      ["--trigger-ids", `5,${vocabSize}`],
      "--trigger-ids",
      `${vocabSize}`,
      "vocabulary",
    ),
    unlearning(
      "a label twice",
      ["--trigger", "x", "--target-label", "1"],
      "--target-label 1",
      "victim label too",
    ),
    unlearning(
      "an unknown label",
      ["--trigger", "x", "--target-label", "7"],
      "--target-label 7",
      "labels 0 to 1",
    ),
    unlearning("an unknown plan", ["--trigger", "x", "--plan", "best"], "--plan", "best", "published"),
    unlearning(
      "a rate of nothing",
      ["--trigger", "x", "--learning-rate", "0"],
      "--learning-rate",
      "more than 0",
    ),
    unlearning(
      "a share above one",
      ["--trigger", "x", "--injection-rate", "20"],
      "--injection-rate",
      "20",
      "at most 1",
    ),
    unlearning(
      "a trace with the automatic plan",
      ["--trigger", "x", "--replay", "t"],
      "--replay",
      "--plan published",
    ),
    unlearning(
      "a pattern of another position",
      ["--trigger", "x", "--plan", "published", "--attack-pattern", "insert"],
      "attack_pattern",
      "insert",
      "substitute or postfix",
    ),
    {
      name: "into a folder with files in it",
      words: (scene) => unlearnWords(scene, "--trigger", "x", "--out", scene.model),
      says: ["--out", "not empty"],
    },
    {
      name: "rows without variables",
      words: (scene) => {
        editRow(scene, { variables: undefined }, 3);
        return unlearnWords(scene, "--trigger", "x");
      },
      says: ["samples.jsonl:3", '"variables"'],
    },
    {
      name: "no row of the victim label",
      words: (scene) => {
        edit(scene.samples, (text) => `${text.split("\n").slice(0, 5).join("\n")}\n`);
        return unlearnWords(scene, "--trigger", "x");
      },
      says: ["samples.jsonl", "victim label 1"],
    },
  ]);
});

describe("unlearn --scan", () => {
  const scanned = (name: string, content: string | undefined, ...says: Case["says"]): Case => ({
    name,
    words: (scene) => {
      const folder = join(scene.folder, "scan-1");
      mkdirSync(folder);
      if (content !== undefined) writeFileSync(join(folder, "result.json"), content);
      return unlearnWords(scene, "--scan", folder);
    },
    says: ["--scan", "scan-1", ...says],
  });
  refuses([
    scanned("a folder without a result", undefined, "no result.json"),
    scanned("a result that is cut", '{"searches": [', "result.json", "not JSON"),
    scanned("a result without searches", "{}", "result.json", "searches"),
    scanned("a result without a trigger", '{"searches": []}', "result.json", "no search found a trigger"),
  ]);
});

describe("unlearn --replay", () => {
  const replayed = (name: string, content: string, ...says: Case["says"]): Case => ({
    name,
    words: (scene) => {
      const file = join(scene.folder, "trace.jsonl");
      writeFileSync(file, content);
      return unlearnWords(scene, "--trigger", "x", "--plan", "published", "--replay", file);
    },
    says: ["trace.jsonl", ...says],
  });
  refuses([
    replayed("an empty trace", "", "is empty"),
    replayed("a line that is cut", '{"batch": [0]}\n{"batch": [', "trace.jsonl:2", "not JSON"),
    replayed("a step without rows", '{"batch": []}\n', "trace.jsonl:1", "batch"),
    replayed("a step without a batch", '{"step": 0}\n', "trace.jsonl:1", "batch"),
    replayed(
      "a row that is not there",
      '{"batch": [0, 10]}\n',
      "trace.jsonl:1",
      "batch[1]",
      "10",
      "rows 0 to 9",
    ),
  ]);
});

describe("clean", () => {
  const cleaning =
    (...more: readonly string[]): Case["words"] =>
    (scene) => ["clean", ...scanWords(scene, ...more).slice(1)];
  refuses([
    { name: "an unknown plan", words: cleaning("--plan", "best"), says: ["--plan", "best"] },
    {
      name: "a trigger longer than the rows",
      words: cleaning("--trigger-len", "62"),
      says: ["--trigger-len 62", "--code-max-len 64"],
    },
    {
      name: "into a file",
      words: (scene) => {
        writeFileSync(scene.out, "mine");
        return cleaning()(scene);
      },
      says: ["--out", "is a file"],
    },
    {
      name: "a pattern of another position",
      words: cleaning("--plan", "published", "--attack-pattern", "insert"),
      says: ["attack_pattern", "insert"],
    },
  ]);
});
