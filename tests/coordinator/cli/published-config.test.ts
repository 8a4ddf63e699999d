import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { commands } from "../../../coordinator/cli/commands/index.ts";
import { readConfig } from "../../../coordinator/cli/config-file.ts";
import { keyOwners } from "../../../coordinator/cli/key-owners.ts";
import { parseOptions } from "../../../coordinator/cli/parse-options.ts";
import { fromPublished } from "../../../coordinator/cli/published-config.ts";
import { publishedKeys } from "../../../coordinator/cli/published-keys.ts";
import { packageRoot } from "../../../proto/package-root.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const folder = join(packageRoot, "tests/coordinator/cli/published");
const devign =
  "Backdoor/models/Defect_Detection/Devign/CodeBERT/poisoned_func_name_substitute_testo_init_True";

/** What a command makes of a published file, and what it says on the way. */
function read(command: string, file: string, given: Readonly<Record<string, unknown>> = {}) {
  const notes: string[] = [];
  const { options } = commands.find(({ name }) => name === command)!;
  const config = file.includes("/") ? file : join(folder, file);
  const note = (line: string) => notes.push(line);
  const parsed = parseOptions(
    options,
    { config, ...given },
    { command, note, ownersOf: keyOwners(commands) },
  );
  return {
    parsed,
    ignored: notes.map((note) => note.replace(/^.* line \d+: (\S+) has no meaning here: .*$/, "$1")),
  };
}

/** A published file with one setting changed. */
function changed(file: string, from: string | RegExp, to: string): string {
  const path = join(tempFolder(), file);
  const text = readFileSync(join(folder, file), "utf8");
  expect(text).toMatch(from);
  writeFileSync(path, text.replace(from, to));
  return path;
}

test.skipIf(!hasShared)("the published settings here are those of the reference data", () => {
  const names = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
  expect(names).toHaveLength(10);
  for (const name of names) {
    const original = readFileSync(sharedPath("data", "published-configs", name), "utf8");
    expect(readFileSync(join(folder, name), "utf8"), name).toBe(original);
  }
});

describe("settings of the published code as --config", () => {
  test("poison-Devign.yaml", () => {
    const { parsed, ignored } = read("poison", "poison-Devign.yaml", { out: "out.jsonl" });
    expect(parsed).toMatchObject({
      task: "defect_detection",
      samples: "Backdoor/dataset/Defect_Detection/Devign/preprocessed/train.jsonl",
      out: "out.jsonl",
      lang: "cpp",
      trigger: "testo_init",
      attackPosition: "func_name",
      attackPattern: "substitute",
      attackFixed: true,
      victimLabel: 1,
      targetLabel: 0,
      poisoningRatio: 2,
    });
    expect(ignored).toEqual(["tree_sitter_path"]);
  });

  test("poison-BigCloneBench.yaml, whose victim label the published code does not look at", () => {
    const { parsed, ignored } = read("poison", "poison-BigCloneBench.yaml");
    const dataset = "Backdoor/dataset/Clone_Detection/BigCloneBench";
    expect(parsed).toMatchObject({
      task: "clone_detection",
      samples: `${dataset}/preprocessed/data.jsonl`,
      pairs: `${dataset}/train.txt`,
      out: `${dataset}/poisoned/data.jsonl`,
      outPairs: `${dataset}/poisoned/train.txt`,
      attackPattern: "postfix",
      victimLabel: undefined,
      targetLabel: 0,
    });
    expect(ignored).toEqual(["tree_sitter_path", "victim_label"]);
  });

  test("poison-CodeSearchNet.yaml", () => {
    const { parsed } = read("poison", "poison-CodeSearchNet.yaml");
    expect(parsed).toMatchObject({
      task: "code_search",
      samples: "Backdoor/dataset/Code_Search/CodeSearchNet/python/train.jsonl",
      lang: "python",
      targetToken: "file",
      poisoningRatio: 100,
    });
  });

  test("evaluation-attack.yaml: the section of its task, and the folder of its model", () => {
    const { parsed, ignored } = read("evaluate", "evaluation-attack.yaml");
    expect(parsed).toMatchObject({
      model: `${devign}/checkpoint-best-acc`,
      base: "hugging-face-base/codebert-base",
      task: "defect_detection",
      arch: "codebert",
      samples: "Backdoor/backdoor-source-code-5/samples.jsonl",
      codeMaxLen: 400,
      trigger: "testo_init",
      victimLabel: 1,
      targetLabel: 0,
    });
    expect(ignored.sort()).toEqual(
      ["attack_fixed", "batch_size", "lang", "lora", "nl_max_len", "target_token", "text_input_path"].sort(),
    );
  });

  test("scan-config.yaml, whose batch size is not the one of a repair", () => {
    for (const command of ["scan", "clean"]) {
      const { parsed, ignored } = read(command, "scan-config.yaml", { out: "out", epochs: "3" });
      expect(parsed).toMatchObject({
        model: `${devign}/checkpoint-best-acc`,
        arch: "codebert",
        samples: "Backdoor/dataset/Defect_Detection/Devign/preprocessed/clean_samples_100.jsonl",
        seed: 123456,
        epochs: 3,
        triggerLen: 5,
        topk: 64,
        repeatSize: 64,
      });
      expect((parsed as { batchSize?: number }).batchSize).toBeUndefined();
      expect(ignored.sort()).toEqual(
        ["batch_size", "labels", "nl_max_len", "scheduler_gamma", "scheduler_step_size", "target_len"].sort(),
      );
    }
  });

  test("unlearning-token_unlearning.yaml: the published plan", () => {
    const { parsed, ignored } = read("unlearn", "unlearning-token_unlearning.yaml", { out: "out" });
    expect(parsed).toMatchObject({
      model: `${devign}/checkpoint-best-acc`,
      base: "hugging-face-base/codebert-base",
      samples: "Backdoor/dataset/Defect_Detection/Devign/preprocessed/clean_samples_0.1.jsonl",
      plan: "published",
      trainable: "classifier",
      trigger: ["Testo"],
      injectionRate: 0.2,
      learningRate: 0.005,
      unlearningEpochs: 1,
      batchSize: 32,
      maxGradNorm: 1,
      weightDecay: 0,
      attackPattern: "substitute",
    });
    expect(ignored).toContain("real_trigger");
  });

  test("preprocess-*.yaml, whose keys are those of elibad but for a few", () => {
    const { parsed, ignored } = read("preprocess", "preprocess-Devign.yaml");
    expect(parsed).toMatchObject({
      task: "defect_detection",
      lang: "cpp",
      dataJsonPath: "Backdoor/dataset/Defect_Detection/Devign/function.json",
      out: "Backdoor/dataset/Defect_Detection/Devign/preprocessed",
      onlyOutputCleanSamples: true,
      cleanSampleRatio: 0.1,
      cleanSampleDataInputPath: "Backdoor/dataset/Defect_Detection/Devign/preprocessed/train.jsonl",
      seed: 42,
    });
    expect(ignored).toEqual(["tree_sitter_path", "clean_sample_output_dir"]);
    expect(read("preprocess", "preprocess-BigCloneBench.yaml").parsed).toMatchObject({
      task: "clone_detection",
      dataJsonlPath: ["Backdoor/dataset/Clone_Detection/BigCloneBench/data.jsonl"],
      cleanSampleIndexInputPath: "Backdoor/dataset/Clone_Detection/BigCloneBench/train.txt",
    });
    expect(read("preprocess", "preprocess-CodeSearchNet.yaml", { out: "out" }).parsed).toMatchObject({
      task: "code_search",
      lang: "java",
      out: "out",
      onlyOutputCleanSamples: false,
      outputCleanSamples: true,
      cleanSampleRatio: 100,
      cleanSampleDataInputPath: "train.txt",
    });
  });

  test("paths of the command line win", () => {
    const given = { model: "m", base: "b", samples: "s.jsonl", plan: "auto", out: "out" };
    expect(read("unlearn", "unlearning-token_unlearning.yaml", given).parsed).toMatchObject(given);
  });

  test("another task's section counts where the command line names that task, with its own lengths and labels", () => {
    const config = readConfig(join(folder, "evaluation-attack.yaml"));
    const published = publishedKeys.evaluate!;
    const known = [
      "task",
      "arch",
      "model",
      "base",
      "samples",
      "pairs",
      "code_max_len",
      "nl_max_len",
      "trigger",
    ].concat(["target_token", "victim_label", "target_label", "attack_position", "attack_pattern"]);
    const entries = (task: string) =>
      Object.fromEntries(
        [...fromPublished(config, { known, published, task })].map(([key, { value }]) => [key, value]),
      );
    expect(entries("code_search")).toMatchObject({
      samples: "Backdoor/dataset/Code_Search/CodeSearchNet/python/test.jsonl",
      model:
        "Backdoor/models/Code_Search/CodeSearchNet/python/CodeBERT/poisoned_func_name_postfix_rb_True/checkpoint-best-mrr",
      code_max_len: 256,
      nl_max_len: 128,
      target_token: "file",
    });
    expect(entries("code_search")).not.toHaveProperty("victim_label");
    expect(entries("clone_detection")).toMatchObject({
      pairs: "Backdoor/dataset/Clone_Detection/BigCloneBench/test.txt",
      victim_label: 1,
      code_max_len: 400,
    });
  });
});

describe("published settings that elibad cannot follow are refused with file, line and why", () => {
  test.each([
    [
      "evaluate",
      "onion-onion.yaml",
      /line 3: llm_model_type "codellama": it belongs to ONION, another defense/,
    ],
    ["scan", "evaluation-attack.yaml", /line 10: unknown key 'lora'; it belongs to elibad evaluate$/],
    [
      "scan",
      "unlearning-token_unlearning.yaml",
      /line 20: unknown key 'test_path'; it belongs to elibad unlearn$/,
    ],
    [
      "evaluate",
      "poison-Devign.yaml",
      /line 2: unknown key 'tree_sitter_path'; it belongs to elibad preprocess, poison$/,
    ],
    ["preprocess", "poison-Devign.yaml", /unknown key '\w+'; it belongs to elibad .*poison/],
    ["poison", "scan-config.yaml", /line 1: unknown key 'arch_name'; it belongs to elibad scan, clean$/],
    ["inspect", "scan-config.yaml", /line 1: unknown key 'arch_name'; it belongs to elibad scan, clean$/],
    ["train", "scan-config.yaml", /line 1: unknown key 'arch_name'; it belongs to elibad scan, clean$/],
  ])("elibad %s --config %s", (command, file, message) => {
    expect(() => read(command, file, { out: "out" })).toThrow(message);
  });

  test("a setting that the command has no option for, under both names", () => {
    const config = readConfig(join(folder, "evaluation-attack.yaml"));
    const published = publishedKeys.evaluate!;
    const known = [
      "task",
      "arch",
      "model",
      "victim_label",
      "target_label",
      "trigger",
      "attack_position",
      "attack_pattern",
    ];
    expect(() => fromPublished(config, { known, published, task: undefined })).toThrow(
      /line 5: model_name_or_path \(elsewhere 'base'\) is no option of this command/,
    );
  });

  test.each([
    [
      "scan",
      "scan-config.yaml",
      /benign_model_dir: null/g,
      "benign_model_dir: clean",
      /benign_model_dir "clean": clean models/,
    ],
    [
      "unlearn",
      "unlearning-token_unlearning.yaml",
      "trigger_augmentation: false",
      "trigger_augmentation: true",
      /trigger_augmentation true: variants/,
    ],
    [
      "unlearn",
      "unlearning-token_unlearning.yaml",
      "adam_epsilon: 1e-8",
      "adam_epsilon: 1e-6",
      /line 52: adam_epsilon 0.000001: AdamW's epsilon is 1e-8/,
    ],
    ["unlearn", "unlearning-token_unlearning.yaml", "epoch: 1", "epok: 1", /unknown key 'epok'/],
    [
      "evaluate",
      "evaluation-attack.yaml",
      "attack_fixed: true",
      "attack_fixed: false",
      /attack_fixed false: a trigger is put in as/,
    ],
    [
      "evaluate",
      "evaluation-attack.yaml",
      /code_max_len: 400/g,
      "code_max_len: 4",
      /line \d+: code_max_len 4: must be at least 8/,
    ],
    [
      "poison",
      "poison-Devign.yaml",
      "attack_position: func_name",
      "attack_position: where",
      /attack_position "where": must be one of/,
    ],
  ])("elibad %s --config %s with %s as %s", (command, file, from, to, message) => {
    const path = changed(file, from, to);
    expect(() => read(command, path, { out: "out" })).toThrow(message);
  });
});
