import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "vitest";
import { type NewTensor, tensorsToWrite } from "../../../../worker/checkpoint/new-tensor.ts";
import { openCheckpoint } from "../../../../worker/checkpoint/open-checkpoint.ts";
import { writeTorchZip } from "../../../../worker/checkpoint/write-torch-zip.ts";
import { randomTensors, writeRandomModel } from "../../../support/random-model.ts";
import { hasShared, sharedPath } from "../../../support/shared.ts";
import {
  type Case,
  edit,
  editConfig,
  refuses,
  type Scene,
  scanWords,
  useGoodModel,
  vocabSize,
} from "./scene.ts";

useGoodModel();

/** A scan of the scene's model after something was done to it. */
const scanAfter =
  (spoil: (scene: Scene) => void | Promise<void>): Case["words"] =>
  async (scene) => {
    await spoil(scene);
    return scanWords(scene);
  };

const config = (changes: Readonly<Record<string, unknown>>): Case["words"] =>
  scanAfter((scene) => editConfig(scene, changes));

const weights = (change: (tensors: NewTensor[]) => readonly NewTensor[]): Case["words"] =>
  scanAfter(async ({ model }) => {
    rmSync(model, { recursive: true });
    await writeRandomModel(model, { tensors: change(randomTensors()) });
  });

const changed =
  (name: string, changes: Partial<NewTensor>) =>
  (tensors: NewTensor[]): NewTensor[] =>
    tensors.map((tensor) => (tensor.name === name ? { ...tensor, ...changes } : tensor));

interface Spot {
  readonly tensor: string;
  readonly element: number;
  readonly number: number;
  readonly container: "torch" | "safetensors";
}

/** Puts a number into a weight that our writers would refuse, with checksums that fit. */
async function putNumber({ model }: Scene, { tensor, element, number, container }: Spot): Promise<void> {
  rmSync(model, { recursive: true });
  await writeRandomModel(model, { container: "safetensors" });
  const file = join(model, "model.safetensors");
  const { offset } = (await openCheckpoint(model)).tensors.get(tensor)!;
  const bytes = readFileSync(file);
  bytes.writeFloatLE(number, offset + 4 * element);
  writeFileSync(file, bytes);
  if (container === "safetensors") return;
  await writeTorchZip(join(model, "model.bin"), tensorsToWrite(await openCheckpoint(model)));
  rmSync(file);
}

function flipBit(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = bytes[at]! ^ 0x10;
  writeFileSync(file, bytes);
}

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

describe("a weight", () => {
  const query = "encoder.encoder.layer.1.attention.self.query.weight";
  const cases: Case[] = [
    {
      name: "of another shape",
      words: weights(changed(query, { shape: [32, 64], data: new Float32Array(32 * 64) })),
      says: ["model.bin", query, "expected shape [64, 64]", "[32, 64]"],
    },
    {
      name: "of a deeper model",
      words: config({ num_hidden_layers: 3 }),
      says: ["encoder.encoder.layer.2.", "there is no such tensor"],
    },
    {
      name: "of a shallower model",
      words: config({ num_hidden_layers: 1 }),
      says: ["model.bin", "encoder.encoder.layer.1."],
    },
    {
      name: "that nobody knows",
      words: weights((tensors) => [
        ...tensors,
        { name: "extra", dtype: "float32", shape: [1], data: new Float32Array(1) },
      ]),
      says: ["model.bin", "extra"],
    },
    {
      name: "under another class's names",
      words: weights((tensors) =>
        tensors.map((tensor) => ({ ...tensor, name: `transformer.${tensor.name}` })),
      ),
      says: ["model.bin", "tensor names", "transformer."],
    },
    {
      name: "that is NaN, in a torch file",
      words: scanAfter((scene) =>
        putNumber(scene, { tensor: query, element: 17, number: Number.NaN, container: "torch" }),
      ),
      says: ["model.bin", query, "element 17"],
    },
    {
      name: "that is infinite, in a safetensors file",
      words: scanAfter((scene) =>
        putNumber(scene, {
          tensor: query,
          element: 4095,
          number: Number.POSITIVE_INFINITY,
          container: "safetensors",
        }),
      ),
      says: ["model.safetensors", query, "element 4095"],
    },
    {
      name: "for more words than the embedding has",
      words: config({ vocab_size: 800 }),
      says: ["model.bin", "word_embeddings.weight", "[800, 64]", `[${vocabSize}, 64]`],
    },
  ];
  refuses(cases);
});

describe("damaged weights", () => {
  const flags = ({ model, samples }: Scene): string[] => [
    "--model",
    model,
    "--samples",
    samples,
    "--code-max-len",
    "64",
  ];
  const commands: Record<string, (scene: Scene) => string[]> = {
    inspect: ({ model }) => ["--model", model],
    predict: flags,
    evaluate: flags,
    train: (scene) => [...flags(scene), "--out", scene.out],
    unlearn: (scene) => [...flags(scene), "--out", scene.out, "--trigger", "x"],
    clean: (scene) => [...flags(scene), "--out", scene.out],
  };
  refuses(
    Object.entries(commands).map(([name, words]) => ({
      name: `${name} refuses them too`,
      words: async (scene) => {
        flipBit(join(scene.model, "model.bin"), 250_000);
        return [name, ...words(scene)];
      },
      says: ["model.bin", "CRC-32"],
    })),
  );
});

describe("a weight file", () => {
  const bin = (spoil: (file: string) => void): Case["words"] =>
    scanAfter(({ model }) => spoil(join(model, "model.bin")));
  const text = (content: string): Case["words"] => bin((file) => writeFileSync(file, content));
  const cases: Case[] = [
    { name: "that is empty", words: text(""), says: ["model.bin", "empty"] },
    {
      name: "that is truncated",
      words: bin((file) => truncateSync(file, 200_000)),
      says: ["model.bin"],
    },
    {
      name: "with a flipped bit in its weights",
      words: bin((file) => flipBit(file, 250_000)),
      says: ["model.bin", "CRC-32", "damaged"],
    },
    {
      name: "in the format of before PyTorch 1.6",
      words: bin((file) => {
        const magic = Buffer.from([
          0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
        ]);
        writeFileSync(file, magic);
      }),
      says: ["model.bin", "old format", "torch.load("],
    },
    {
      name: "that is a Git LFS pointer",
      words: text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
      says: ["model.bin", "git lfs pull"],
    },
    {
      name: "that is a web page",
      words: text("<!DOCTYPE html><html></html>"),
      says: ["model.bin", "web page"],
    },
    { name: "that is text", words: text("weights\n"), says: ["model.bin"] },
    {
      name: "of safetensors, truncated",
      words: scanAfter(async ({ model }) => {
        rmSync(model, { recursive: true });
        await writeRandomModel(model, { container: "safetensors" });
        truncateSync(join(model, "model.safetensors"), 100_000);
      }),
      says: ["model.safetensors"],
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
      says: ["adapter_model.bin", "lora_A.weight", "[4, 48]", "[4, 32]", "adapter for another base"],
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
