import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "vitest";
import { writeStarcoderTokenizer } from "../../../support/tiny-tokenizer.ts";
import { type Case, refuses, type Scene, scanWords, useGoodModel, vocabSize } from "./scene.ts";

useGoodModel();

/** A config file with some lines, beside the scene's other files. */
function config({ folder }: Scene, text: string): string {
  const file = join(folder, "scan.yaml");
  writeFileSync(file, text);
  return file;
}

describe("words that nobody knows", () => {
  const cases: Case[] = [
    { name: "a command", words: () => ["scn"], says: ["unknown command 'scn'", "did you mean scan?"] },
    {
      name: "an option",
      words: (scene) => scanWords(scene, "--modle", "x"),
      says: ["unknown option '--modle'", "did you mean --model?"],
    },
    {
      name: "an option without its value",
      words: () => ["scan", "--model"],
      says: ["'--model <dir>'", "missing"],
    },
    {
      name: "a wrong value beside --json, which keeps stdout empty",
      words: (scene) => scanWords(scene, "--json", "--topk", "0"),
      says: ["--topk", "0"],
    },
    {
      name: "words too many",
      words: (scene) => scanWords(scene, "suspicious/"),
      says: ["too many arguments"],
    },
    {
      name: "an architecture that is not the model's",
      words: (scene) => scanWords(scene, "--arch", "codet5"),
      says: ["--arch codet5", "config.json", 'model_type "roberta"'],
    },
    { name: "no model", words: () => ["scan", "--samples", "x"], says: ["--model is missing"] },
    { name: "no samples", words: ({ model }) => ["scan", "--model", model], says: ["--samples is missing"] },
    {
      name: "no output folder",
      words: ({ model, samples }) => ["scan", "--model", model, "--samples", samples],
      says: ["--out is missing"],
    },
  ];
  refuses(cases);
});

describe("values that do not fit", () => {
  const refused = (option: string, value: string, ...says: string[]): Case => ({
    name: `${option} ${value}`,
    words: (scene) => scanWords(scene, option, value),
    says: [option, value, ...says],
  });
  refuses([
    refused("--task", "defects", "must be one of defect_detection"),
    refused("--arch", "gpt2", "must be one of codebert"),
    refused("--device", "tpu", "must be one of"),
    refused("--half", "third_half", "first_half"),
    refused("--loss", "hinge", "float64"),
    refused("--directions", "some", "all, one"),
    refused("--trigger-len", "0", "at least 1"),
    refused("--trigger-len", "five", "must be a number"),
    refused("--epochs", "1.5", "whole number"),
    refused("--seed", "-1", "at least 0"),
    refused("--beta", "-0.1", "at least 0"),
    refused("--beta", "NaN", "must be a number"),
    refused("--code-max-len", "4", "at least 8"),
    refused("--workers", "-2", "at least 0"),
    refused("--code-max-len", "159", "at most 158 tokens", "config.json", "max_position_embeddings 160"),
    refused("--trigger-len", "63", "--code-max-len 64"),
    refused("--score-index", "64", "samples.jsonl", "tokens"),
    refused("--init", "5,6,7", "has 3 ids", "--trigger-len is 5"),
    refused("--init", `5,6,7,8,${vocabSize}`, `id ${vocabSize}`, `vocabulary of ${vocabSize}`),
    refused("--init", "a,b,c,d,e", "whole numbers"),
    refused("--model", "", "must not be empty"),
  ]);

  const direction = (victim: string, target: string, ...says: string[]): Case => ({
    name: `a direction from ${victim} to ${target}`,
    words: (scene) =>
      scanWords(scene, "--directions", "one", "--victim-label", victim, "--target-label", target),
    says,
  });
  refuses([
    direction("1", "1", "--target-label 1", "victim label too"),
    direction("1", "7", "--target-label 7", "labels 0 to 1"),
    direction("7", "0", "--victim-label 7", "labels 0 to 1"),
    {
      name: "a label that the model does not have, where all directions are searched",
      words: (scene) => scanWords(scene, "--target-label", "7"),
      says: ["--target-label 7", "labels 0 to 1"],
    },
  ]);

  refuses([
    {
      name: "evaluate --target-label 2",
      words: ({ model, samples }) => [
        ...["evaluate", "--model", model, "--samples", samples, "--code-max-len", "64"],
        ...["--trigger", "x", "--target-label", "2"],
      ],
      says: ["--target-label 2", "labels 0 to 1"],
    },
    {
      name: "evaluate with an empty trigger",
      words: ({ model, samples }) => [
        ...["evaluate", "--model", model, "--samples", samples, "--code-max-len", "64", "--trigger", "  "],
      ],
      says: ["trigger", "is empty"],
    },
    {
      name: "evaluate --out a folder",
      words: ({ model, samples, folder }) => [
        ...["evaluate", "--model", model, "--samples", samples, "--code-max-len", "64", "--out", folder],
      ],
      says: ["--out", "folder"],
    },
    {
      name: "inspect --code-max-len, which it has no use for",
      words: ({ model }) => ["inspect", "--model", model, "--code-max-len", "64"],
      says: ["unknown option '--code-max-len'"],
    },
    {
      name: "predict without rows",
      words: ({ model }) => ["predict", "--model", model],
      says: ["--samples or --ids"],
    },
    {
      name: "predict with rows of both kinds",
      words: ({ model, samples }) => ["predict", "--model", model, "--samples", samples, "--ids", samples],
      says: ["--samples or --ids"],
    },
    {
      name: "poison with a pattern of another position",
      words: (scene) => poisonWords(scene, "--attack-pattern", "insert"),
      says: ["attack_pattern", '"insert"', "func_name only substitute or postfix"],
    },
    {
      name: "poison --poisoning-ratio 200",
      words: (scene) => poisonWords(scene, "--poisoning-ratio", "200"),
      says: ["--poisoning-ratio", "200", "at most 100"],
    },
    {
      name: "poison with a label that no row has",
      words: (scene) => poisonWords(scene, "--victim-label", "7"),
      says: ["victim", "7"],
    },
    {
      name: "poison toward the label that the rows have",
      words: (scene) => poisonWords(scene, "--target-label", "1"),
      says: ["--target-label 1", "victim label too"],
    },
    {
      name: "poison --target-label 7",
      words: (scene) => poisonWords(scene, "--target-label", "7"),
      says: ["--target-label 7"],
    },
    {
      name: "poison --out with another ending",
      words: ({ samples, out }) => ["poison", "--samples", samples, "--trigger", "x", "--out", out],
      says: ["--out", "must end in .jsonl or .jsonl.gz"],
    },
    {
      name: "train --learning-rate 0",
      words: (scene) => trainWords(scene, "--learning-rate", "0"),
      says: ["--learning-rate", "0"],
    },
    {
      name: "train --max-grad-norm 0",
      words: (scene) => trainWords(scene, "--max-grad-norm", "0"),
      says: ["--max-grad-norm", "0"],
    },
    {
      name: "train --token-dropout with StarCoder's tokenizer, whose unknown token would end the row",
      words: (scene) => trainWords({ ...scene, model: starcoder(scene) }, "--token-dropout", "0.1"),
      says: ["--token-dropout 0.1", "vocab.json has no token for unknown words but its padding"],
    },
    {
      name: "train with rows longer than the model to be made",
      words: (scene) => trainWords(scene, "--code-max-len", "400"),
      says: ["--code-max-len 400", "at most 158"],
    },
    {
      name: "train from a folder that is not there",
      words: (scene) => trainWords(scene, "--model", join(scene.folder, "nowhere")),
      says: ["--model", "nowhere", "no such folder"],
    },
    {
      name: "train without a model",
      words: ({ samples, out }) => ["train", "--samples", samples, "--out", out],
      says: ["--base is missing", "config.json"],
    },
  ]);
});

describe("--out", () => {
  refuses([
    {
      name: "a folder with files in it",
      words: (scene) => {
        mkdirSync(scene.out);
        writeFileSync(join(scene.out, "result.json"), "{}");
        return scanWords(scene);
      },
      says: ["--out", "not empty"],
    },
    {
      name: "a file",
      words: (scene) => {
        writeFileSync(scene.out, "mine");
        return scanWords(scene);
      },
      says: ["--out", "is a file"],
    },
    {
      name: "a folder under a file",
      words: (scene) => scanWords(scene, "--out", join(scene.samples, "out")),
      says: ["--out", "samples.jsonl"],
    },
    {
      name: "of train, a folder with files in it",
      words: (scene) => trainWords(scene, "--out", scene.model),
      says: ["--out", "not empty"],
    },
    {
      name: "of poison, a file that is there",
      words: (scene) => {
        writeFileSync(`${scene.out}.jsonl`, "mine");
        return poisonWords(scene);
      },
      says: ["--out", "out.jsonl", "is there already"],
    },
    {
      name: "of poison, beside a manifest that is there",
      words: (scene) => {
        writeFileSync(`${scene.out}.jsonl.manifest.json`, "mine");
        return poisonWords(scene);
      },
      says: ["--out", "out.jsonl.manifest.json", "is there already"],
    },
    {
      name: "of poison, a folder",
      words: (scene) => {
        mkdirSync(`${scene.out}.jsonl`);
        return poisonWords(scene);
      },
      says: ["--out", "out.jsonl", "folder"],
    },
  ]);
});

describe("--config", () => {
  const file = (name: string, text: string, ...says: string[]): Case => ({
    name,
    words: (scene) => scanWords(scene, "--config", config(scene, text)),
    says: ["scan.yaml", ...says],
  });
  refuses([
    {
      name: "a file that is not there",
      words: (scene) => scanWords(scene, "--config", join(scene.folder, "nowhere.yaml")),
      says: ["--config", "nowhere.yaml", "no such file"],
    },
    {
      name: "a folder",
      words: (scene) => scanWords(scene, "--config", scene.folder),
      says: ["--config", "folder"],
    },
    file(
      "an unknown key",
      "topk: 8\ntriger_len: 5\n",
      "line 2",
      "'triger_len'",
      "did you mean 'trigger_len'?",
    ),
    file("the flag in place of the key", "trigger-len: 5\n", "line 1", "did you mean 'trigger_len'?"),
    file("a word for a number", "topk: many\n", "line 1", "topk", '"many"', "must be a number"),
    file("a number out of its range", "trigger_len: 0\n", "trigger_len", "0", "at least 1"),
    file("a list for a word", "half: [first_half]\n", "line 1", "half", "must be one of"),
    file("text for a switch", "trace: maybe\n", "trace", '"maybe"', "true or false"),
    file("a key given twice", "topk: 8\ntopk: 9\n", "line 2", "unique"),
    file("a list", "- topk\n", "must be a YAML map"),
    file("broken YAML", "topk: [8\nepochs: 3\n", "line"),
    file("a nested map", "search:\n  topk: 8\n", "line 1", "unknown key 'search'"),
    file(
      "another command's key",
      "epochs: 1\ninjection_rate: 0.1\n",
      "line 2",
      "belongs to elibad unlearn, clean",
    ),
    {
      name: "the config's own path as a key",
      words: (scene) => scanWords(scene, "--config", config(scene, "config: other.yaml\n")),
      says: ["unknown key 'config'"],
    },
  ]);
});

const poisonWords = ({ samples, out }: Scene, ...more: string[]): string[] => [
  ...["poison", "--samples", samples, "--trigger", "x", "--out", `${out}.jsonl`, ...more],
];

const trainWords = ({ samples, model, out }: Scene, ...more: string[]): string[] => [
  ...["train", "--base", model, "--samples", samples, "--out", out, "--code-max-len", "64"],
  ...["--epochs", "1", ...more],
];

/** A folder to start a StarCoder from. */
function starcoder({ folder }: Scene): string {
  const base = join(folder, "starcoder");
  mkdirSync(base);
  writeStarcoderTokenizer(base, 64);
  const sizes = { vocab_size: 64, n_embd: 8, n_head: 2, n_layer: 1, n_positions: 128 };
  writeFileSync(
    join(base, "config.json"),
    JSON.stringify({ model_type: "gpt_bigcode", ...sizes, pad_token_id: 0 }),
  );
  return base;
}
