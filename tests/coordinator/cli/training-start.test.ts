import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openWholeModel } from "../../../coordinator/cli/open-model.ts";
import { openPretrained, writeNewModel } from "../../../coordinator/cli/training-start.ts";
import { initialWeights } from "../../../coordinator/training/initial.ts";
import type { Task } from "../../../proto/operations.ts";
import type { NewTensor } from "../../../worker/checkpoint/new-tensor.ts";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { writeSafetensors } from "../../../worker/checkpoint/write-safetensors.ts";
import { parseConfig } from "../../../worker/models/config.ts";
import { scratchTensors } from "../../../worker/models/layout.ts";
import { elibadHere } from "../../support/command-line.ts";
import { loadWeights } from "../../support/golden.ts";
import { demoData, randomTensors } from "../../support/random-model.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const demoRoberta = randomTensors("code_search");

const t5Json = JSON.stringify({
  ...{ model_type: "t5", vocab_size: 40, d_model: 8, d_kv: 4, d_ff: 12, num_heads: 2, num_layers: 1 },
  ...{ num_decoder_layers: 1, feed_forward_proj: "relu", eos_token_id: 2, pad_token_id: 0 },
});
const starcoderJson = JSON.stringify({
  ...{
    model_type: "gpt_bigcode",
    vocab_size: 40,
    n_embd: 8,
    n_head: 2,
    n_layer: 1,
    n_inner: 12,
    n_positions: 64,
  },
  ...{ multi_query: true, activation_function: "gelu_pytorch_tanh", eos_token_id: 0 },
});
const drawn = (json: string, task: Task): NewTensor[] =>
  [...initialWeights(scratchTensors(parseConfig(json, "config.json"), task), 3)].map(([name, tensor]) => ({
    name,
    dtype: "float32",
    ...tensor,
  }));
const t5 = drawn(t5Json, "code_search");
const starcoder = drawn(starcoderJson, "defect_detection").filter(({ name }) => !name.includes("score."));

/** Tensors under other names, in a folder with configuration and tokenizer. */
async function pretrained(
  tensors: readonly NewTensor[],
  rename: (name: string) => string,
  { config, more = [] }: { readonly config?: string; readonly more?: readonly NewTensor[] } = {},
): Promise<string> {
  const folder = join(tempFolder(), "pretrained");
  mkdirSync(folder);
  const renamed = tensors.map((tensor) => ({ ...tensor, name: rename(tensor.name) }));
  await writeSafetensors(join(folder, "model.safetensors"), [...renamed, ...more]);
  for (const file of ["config.json", "vocab.json", "merges.txt"]) {
    copyFileSync(join(demoData, file), join(folder, file));
  }
  if (config !== undefined) writeFileSync(join(folder, "config.json"), config);
  return folder;
}

const bare = (name: string): string => name.replace(/^encoder\./, "");
const behindRoberta = (name: string): string => name.replace(/^encoder\./, "roberta.");
const outputLayer: NewTensor = {
  name: "lm_head.bias",
  dtype: "float32",
  shape: [4],
  data: new Float32Array([1, 2, 3, 4]),
};

describe("a pretrained checkpoint without a head becomes a model of the task with the same encoder", () => {
  test.each([
    { what: "RobertaModel", task: "defect_detection", folder: () => pretrained(demoRoberta, bare) },
    {
      what: "RobertaForMaskedLM",
      task: "clone_detection",
      folder: () => pretrained(demoRoberta, behindRoberta, { more: [outputLayer] }),
    },
    { what: "RobertaModel", task: "code_search", folder: () => pretrained(demoRoberta, bare) },
    {
      what: "T5ForConditionalGeneration",
      task: "clone_detection",
      folder: () => pretrained(t5, bare, { config: t5Json }),
    },
    {
      what: "GPTBigCodeForCausalLM",
      task: "defect_detection",
      folder: () => pretrained(starcoder, bare, { config: starcoderJson, more: [outputLayer] }),
    },
  ] as const)("$what for $task", async ({ task, folder: makeFolder }) => {
    const model = await makeFolder();
    const made = await openPretrained({ model, task });
    const folder = tempFolder();
    await writeNewModel(made!, folder, { model, task, seed: 5, format: "torch-zip" });

    const opened = await openWholeModel({ model: folder, task });
    expect(opened.layout.kind).toBe("wrapped");
    const [source, now] = [await loadWeights(model), await loadWeights(folder)];
    const isHead = (name: string): boolean => /^classifier\.|score\./.test(name);
    for (const [name, { data }] of now) {
      if (isHead(name)) continue;
      const before = source.get(bare(name)) ?? source.get(behindRoberta(name));
      expect(data, name).toEqual(before!.data);
    }
    expect([...now.keys()].some(isHead)).toBe(task !== "code_search");
  });

  test("and train starts from it", async () => {
    const model = await pretrained(demoRoberta, bare);
    const out = join(tempFolder(), "trained");
    const { code, stderr } = await elibadHere(
      ...["train", "--model", model, "--samples", join(demoData, "clean_samples.jsonl"), "--epochs", "1"],
      ...["--learning-rate", "1e-9", "--code-max-len", "16", "--batch-size", "50", "--out", out],
    );
    expect(stderr).not.toContain("elibad train:");
    expect(code).toBe(0);
    const [source, now] = [await loadWeights(model), await loadWeights(out)];
    for (const [name, { data }] of source) {
      const trained = now.get(`encoder.${name}`)!.data;
      const largest = Math.max(...data.map((value, k) => Math.abs(value - trained[k]!)));
      expect(largest, name).toBeLessThan(1e-7);
    }
    expect((await openCheckpoint(out)).tensors.has("classifier.dense.weight")).toBe(true);
  });
});

test("a checkpoint of another task, or a wrapped encoder alone, is no pretrained one", async () => {
  const search = await pretrained(demoRoberta, (name) => name);
  const defect = await pretrained(randomTensors("defect_detection"), (name) => name);
  expect(await openPretrained({ model: search, task: "defect_detection" })).toBeUndefined();
  expect(await openPretrained({ model: defect, task: "clone_detection" })).toBeUndefined();
  const { code, stderr } = await elibadHere(
    ...["train", "--model", search, "--samples", join(demoData, "clean_samples.jsonl")],
    ...["--code-max-len", "64", "--out", join(tempFolder(), "out")],
  );
  expect(code).toBe(2);
  expect(stderr).toContain("is a checkpoint of code_search");
});

test("a pretrained checkpoint that lacks a tensor, or has one of another shape, is refused by its name", async () => {
  const word = "embeddings.LayerNorm.bias";
  const without = await pretrained(
    demoRoberta.filter(({ name }) => bare(name) !== word),
    bare,
  );
  await expect(openPretrained({ model: without, task: "defect_detection" })).rejects.toThrow(
    /embeddings\.LayerNorm\.bias.*no such tensor/,
  );
  const reshaped = await pretrained(
    demoRoberta.map((tensor) =>
      bare(tensor.name) === word ? { ...tensor, shape: [3], data: new Float32Array(3) } : tensor,
    ),
    bare,
  );
  await expect(openPretrained({ model: reshaped, task: "defect_detection" })).rejects.toThrow(
    /model\.safetensors.*embeddings\.LayerNorm\.bias.*expected shape \[64\].*found \[3\]/,
  );
});
