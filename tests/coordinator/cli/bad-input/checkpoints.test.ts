import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe } from "vitest";
import { hasShared, sharedPath } from "../../../support/shared.ts";
import {
  type Case,
  config,
  edit,
  refuses,
  type Scene,
  scanAfter,
  scanWords,
  useGoodModel,
  vocabSize,
} from "./scene.ts";

useGoodModel();

describe("a model folder", () => {
  const cases: Case[] = [
    {
      name: "that is not there",
      words: (scene) => scanWords(scene, "--model", join(scene.folder, "nowhere")),
      says: ["--model", "nowhere", "no such folder"],
    },
    {
      name: "that is a file",
      words: (scene) => scanWords(scene, "--model", join(scene.model, "model.bin")),
      says: ["--model", "model.bin", "is a file"],
    },
    {
      name: "without weights",
      words: scanAfter(({ model }) => rmSync(join(model, "model.bin"))),
      says: ["model", "model.bin"],
    },
    {
      name: "without config.json, and no --base",
      words: scanAfter(({ model }) => rmSync(join(model, "config.json"))),
      says: ["no config.json", "--base"],
    },
    {
      name: "without config.json, and none in --base",
      words: (scene) => {
        rmSync(join(scene.model, "config.json"));
        return scanWords(scene, "--base", scene.folder);
      },
      says: ["no config.json", "--base"],
    },
    {
      name: "with a --base that is not there",
      words: (scene) => scanWords(scene, "--base", join(scene.folder, "nowhere")),
      says: ["--base", "nowhere", "no such folder"],
    },
    {
      name: "without a tokenizer, and no --base",
      words: scanAfter(({ model }) => rmSync(join(model, "vocab.json"))),
      says: ["no tokenizer", "--base"],
    },
    {
      name: "with half a tokenizer",
      words: scanAfter(({ model }) => rmSync(join(model, "merges.txt"))),
      says: ["merges.txt"],
    },
  ];
  refuses(cases);
});

describe("config.json", () => {
  const cases: Case[] = [
    {
      name: "of another architecture",
      words: config({ model_type: "bert" }),
      says: ["config.json", "model_type", "'bert'", "'roberta'", "'t5'"],
    },
    {
      name: "without its architecture",
      words: config({ model_type: undefined }),
      says: ["config.json", "model_type"],
    },
    {
      name: "with an unknown key",
      words: config({ num_hiden_layers: 2 }),
      says: ["config.json", "num_hiden_layers", "did you mean 'num_hidden_layers'?"],
    },
    {
      name: "without a size",
      words: config({ hidden_size: undefined }),
      says: ["config.json", "hidden_size", "missing"],
    },
    {
      name: "with text for a size",
      words: config({ hidden_size: "64" }),
      says: ["config.json", "hidden_size", '"64"'],
    },
    {
      name: "with heads that do not divide the hidden size",
      words: config({ num_attention_heads: 5 }),
      says: ["config.json", "num_attention_heads", "5", "64"],
    },
    {
      name: "with another activation",
      words: config({ hidden_act: "swish" }),
      says: ["config.json", "hidden_act", '"swish"', "gelu"],
    },
    {
      name: "that is not JSON",
      words: scanAfter(({ model }) => edit(join(model, "config.json"), (text) => text.slice(0, 90))),
      says: ["config.json", "JSON"],
    },
    {
      name: "that is a list",
      words: scanAfter(({ model }) => edit(join(model, "config.json"), () => "[]")),
      says: ["config.json", "expected an object"],
    },
    {
      name: "that is a folder",
      words: scanAfter(({ model }) => {
        rmSync(join(model, "config.json"));
        mkdirSync(join(model, "config.json"));
      }),
      says: ["config.json", "folder"],
    },
  ];
  refuses(cases);
});

describe("a tokenizer", () => {
  const vocabulary = (change: (vocab: Record<string, number>) => unknown): Case["words"] =>
    scanAfter(({ model }) =>
      edit(join(model, "vocab.json"), (text) => JSON.stringify(change(JSON.parse(text)))),
    );
  const cases: Case[] = [
    {
      name: "with more words than the embedding",
      words: vocabulary((vocab) => ({ ...vocab, surplus: vocabSize })),
      says: ["vocab.json", `${vocabSize}`, "model.bin"],
    },
    {
      name: "with another padding than the model's",
      words: vocabulary((vocab) => ({ ...vocab, "<pad>": vocab["</s>"], "</s>": vocab["<pad>"] })),
      says: ["vocab.json", "pads with id 2", "pad_token_id 1"],
    },
    {
      name: "without <unk>",
      words: vocabulary(({ "<unk>": _unk, ...rest }) => rest),
      says: ["vocab.json", "<unk>"],
    },
    {
      name: "with two words of one id",
      words: vocabulary((vocab) => ({ ...vocab, twin: 9 })),
      says: ["vocab.json", "9"],
    },
    {
      name: "with text for an id",
      words: vocabulary((vocab) => ({ ...vocab, a: "9" })),
      says: ["vocab.json", '"9"'],
    },
    {
      name: "that is not JSON",
      words: scanAfter(({ model }) => edit(join(model, "vocab.json"), (text) => text.slice(0, 50))),
      says: ["vocab.json", "JSON"],
    },
    {
      name: "with a merge of three words",
      words: scanAfter(({ model }) => edit(join(model, "merges.txt"), (text) => `${text}a b c\n`)),
      says: ["merges.txt", "a b c"],
    },
    {
      name: "with a merge of unknown words",
      words: scanAfter(({ model }) => edit(join(model, "merges.txt"), (text) => `${text}zzq qqz\n`)),
      says: ["merges.txt", "zzq"],
    },
  ];
  refuses(cases);
});

describe.skipIf(!hasShared)("a LoRA adapter", () => {
  const adapter = sharedPath("golden", "tiny", "layouts", "gpt-bigcode-lora");
  const over = (base: string) => (scene: Scene) => scanWords(scene, "--model", adapter, "--base", base);
  refuses([
    {
      name: "without its base",
      words: (scene) => scanWords(scene, "--model", adapter),
      says: ["--model", "gpt-bigcode-lora", "adapter_config.json", "--base"],
    },
    {
      name: "over a base of another size",
      words: over(sharedPath("golden", "tiny", "defect_detection-starcoder")),
      says: [
        ...["adapter_model.bin", "lora_A.weight", "[4, 48]", "[4, 32]", "adapter for another base"],
        ...["made for 'gpt-bigcode-safetensors'", /the base is \S+defect_detection-starcoder\)/],
      ],
    },
    {
      name: "over another architecture",
      words: over(sharedPath("golden", "tiny", "layouts", "roberta-safetensors")),
      says: [
        "adapter_model.bin",
        "the base has no layer transformer.h.0.attn.c_attn",
        "adapter for another base",
      ],
    },
    {
      name: "over a folder that is not there",
      words: over("nowhere"),
      says: ["--base", "nowhere", "no such folder"],
    },
    {
      name: "over itself",
      words: over(adapter),
      says: ["--base", "is a LoRA adapter itself"],
    },
  ]);
});
