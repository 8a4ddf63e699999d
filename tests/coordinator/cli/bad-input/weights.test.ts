import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "vitest";
import { type NewTensor, tensorsToWrite } from "../../../../worker/checkpoint/new-tensor.ts";
import { openCheckpoint } from "../../../../worker/checkpoint/open-checkpoint.ts";
import { writeTorchZip } from "../../../../worker/checkpoint/write-torch-zip.ts";
import { randomTensors, writeRandomModel } from "../../../support/random-model.ts";
import { type Case, config, refuses, type Scene, scanAfter, useGoodModel, vocabSize } from "./scene.ts";

useGoodModel();

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
