import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { readTensor, readTensorBytes } from "../../../worker/checkpoint/read-tensor.ts";
import { openSafetensors } from "../../../worker/checkpoint/safetensors.ts";
import type { TensorEntry } from "../../../worker/checkpoint/tensor-entry.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";

const layout = (name: string) => sharedPath("golden", "tiny", "layouts", name);
const first = <T>(values: Iterable<T>): T => [...values][0]!;

describe.skipIf(!hasShared)("layouts of one RoBERTa classifier", () => {
  test.each([
    { folder: "roberta-safetensors", container: "safetensors", files: 1, dtype: "float32" },
    { folder: "roberta-safetensors-sharded", container: "safetensors", files: 3, dtype: "float32" },
    { folder: "roberta-bin", container: "torch-zip", files: 1, dtype: "float32" },
    { folder: "roberta-bin-sharded", container: "torch-zip", files: 3, dtype: "float32" },
    { folder: "roberta-safetensors-float16", container: "safetensors", files: 1, dtype: "float16" },
    { folder: "roberta-safetensors-bfloat16", container: "safetensors", files: 1, dtype: "bfloat16" },
  ])("$folder holds the same names, shapes and values", async ({ folder, container, files, dtype }) => {
    const reference = await openCheckpoint(layout("roberta-safetensors"));
    const checkpoint = await openCheckpoint(layout(folder));
    expect(checkpoint.container).toBe(container);
    expect(checkpoint.files.length).toBe(files);
    expect(checkpoint.sharded).toBe(files > 1);
    expect([...checkpoint.tensors.keys()].sort()).toEqual([...reference.tensors.keys()].sort());
    const relative = { float32: 0, float16: 2 ** -11, bfloat16: 2 ** -8 }[dtype]!;
    for (const [name, entry] of checkpoint.tensors) {
      const expected = reference.tensors.get(name)!;
      expect([entry.dtype, entry.shape]).toEqual([dtype, expected.shape]);
      const [got, want] = [await readTensor(entry), await readTensor(expected)];
      const worst = got.reduce((most, value, i) => {
        const bound = Math.max(relative * Math.abs(want[i]!), dtype === "float16" ? 2 ** -25 : 0);
        return Math.max(most, Math.abs(value - want[i]!) - bound);
      }, 0);
      expect(worst, name).toBe(0);
    }
  });

  test("the old torch format is refused with the command that converts it", async () => {
    await expect(openCheckpoint(layout("roberta-bin-legacy"))).rejects.toThrow(
      /old format.*\n.*torch\.load\("pytorch_model\.bin".*\ntorch\.save/,
    );
  });
});

describe.skipIf(!hasShared)("published wrappers", () => {
  test.each(["tiny/defect_detection-codebert", "trained/defect-codebert-backdoored"])(
    "%s/model.bin has the wrapped names and a head of one output",
    async (cell) => {
      const { tensors, container } = await openCheckpoint(sharedPath("golden", ...cell.split("/")));
      const config = readSharedJson<{ vocab_size: number; hidden_size: number; num_hidden_layers: number }>(
        "golden",
        ...cell.split("/"),
        "config.json",
      );
      expect(container).toBe("torch-zip");
      expect(tensors.get("encoder.embeddings.word_embeddings.weight")?.shape).toEqual([
        config.vocab_size,
        config.hidden_size,
      ]);
      expect(tensors.get("classifier.out_proj.weight")?.shape).toEqual([1, config.hidden_size]);
      expect(
        [...tensors.keys()].filter((name) => /layer\.\d+\.output\.dense\.bias$/.test(name)),
      ).toHaveLength(config.num_hidden_layers);
    },
  );

  test("the head that PyTorch trained can be read from the archive and from safetensors", async () => {
    const folder = sharedPath("golden", "trained", "defect-codebert-backdoored");
    const { tensors } = await openCheckpoint(folder);
    const trained = await openSafetensors(join(folder, "unlearned-classifier-planted.safetensors"));
    expect(trained.size).toBeGreaterThan(0);
    const drift = async (entry: TensorEntry, other: TensorEntry) => {
      const [a, b] = [await readTensor(entry), await readTensor(other)];
      return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
    };
    for (const [name, entry] of trained) {
      const before = tensors.get(name) ?? tensors.get(`classifier.${name}`);
      expect(before?.shape, name).toEqual(entry.shape);
      // Four steps at rates up to 5e-3 move a weight a little, and never not at all.
      expect(await drift(before!, entry), name).toBeGreaterThan(0);
      expect(await drift(before!, entry), name).toBeLessThan(0.02);
    }
  });

  test("T5's tied weights are four names for one place in the file", async () => {
    const { tensors } = await openCheckpoint(sharedPath("golden", "tiny", "defect_detection-codet5"));
    const tied = [
      "encoder.shared.weight",
      "encoder.encoder.embed_tokens.weight",
      "encoder.decoder.embed_tokens.weight",
      "encoder.lm_head.weight",
    ].map((name) => tensors.get(name));
    expect(new Set(tied.map((entry) => entry?.offset)).size).toBe(1);
    const bytes = await readTensorBytes(first(tensors.values()));
    expect(bytes.byteLength).toBe(tied[0]!.byteLength);
  });
});

describe("folders without a checkpoint", () => {
  test("an empty folder is refused with the names that were looked for", async () => {
    const folder = mkdtempSync(join(tmpdir(), "elibad-checkpoint-"));
    try {
      await expect(openCheckpoint(folder)).rejects.toThrow(
        /no checkpoint in it; looked for model\.safetensors, .*model\.bin/,
      );
      writeFileSync(join(folder, "file"), "");
      await expect(openCheckpoint(join(folder, "file"))).rejects.toThrow("name the folder that it lies in");
      await expect(openCheckpoint(join(folder, "missing"))).rejects.toThrow("ENOENT");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
