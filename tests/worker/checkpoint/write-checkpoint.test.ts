import { chmodSync, copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { type NewTensor, tensorsToWrite } from "../../../worker/checkpoint/new-tensor.ts";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { readTensor, readTensorBytes } from "../../../worker/checkpoint/read-tensor.ts";
import type { Checkpoint } from "../../../worker/checkpoint/tensor-entry.ts";
import { verifyWeights } from "../../../worker/checkpoint/verify-weights.ts";
import { writeCheckpoint } from "../../../worker/checkpoint/write-checkpoint.ts";
import { writeSafetensors } from "../../../worker/checkpoint/write-safetensors.ts";
import { writeTorchZip } from "../../../worker/checkpoint/write-torch-zip.ts";
import { NO_PYTHON, python } from "../../support/python.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { outlineHere, outlinesInPython } from "../../support/torch-outline.ts";

const golden = (...parts: string[]) => sharedPath("golden", "tiny", ...parts);

/** Names, dtypes, shapes and which names share a storage. */
const outline = ({ tensors }: Checkpoint) => {
  const entries = [...tensors.values()];
  return entries.map(({ name, dtype, shape, offset, file }) => ({
    name,
    dtype,
    shape,
    tiedTo: entries.find((other) => other.offset === offset && other.file === file)?.name,
  }));
};

async function values({ tensors }: Checkpoint): Promise<Record<string, number[]>> {
  const all: Record<string, number[]> = {};
  for (const [name, entry] of tensors) all[name] = [...(await readTensor(entry))];
  return all;
}

/** Multiples of 1/64 below 4: exact in every floating-point dtype here. */
const newValues = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, i) => (((i * 7 + seed * 13) % 127) - 63) / 64);

async function newWeights(source: Checkpoint, ...names: string[]) {
  const replaced = new Map<string, Float32Array>();
  for (const name of names)
    replaced.set(name, newValues((await readTensor(source.tensors.get(name)!)).length, name.length));
  return replaced;
}

describe.skipIf(!hasShared)("a checkpoint with new values for some tensors", () => {
  test.each([
    "layouts/roberta-safetensors",
    "layouts/roberta-safetensors-sharded",
    "layouts/roberta-safetensors-float16",
    "layouts/roberta-safetensors-bfloat16",
    "layouts/roberta-bin",
    "layouts/roberta-bin-sharded",
  ])("%s keeps its files, names, shapes and dtypes; only those values change", async (name) => {
    const source = await openCheckpoint(golden(...name.split("/")));
    const replaced = await newWeights(
      source,
      "classifier.dense.weight",
      "classifier.out_proj.bias",
      "roberta.embeddings.LayerNorm.weight",
    );
    const folder = tempFolder();
    const written = await writeCheckpoint({ source, replaced, folder });
    const result = await openCheckpoint(folder);
    await verifyWeights(result);
    expect(readdirSync(folder).sort()).toEqual(written.map((path) => basename(path)).sort());
    expect(outline(result)).toEqual(outline(source));
    const expected = await values(source);
    for (const [tensor, data] of replaced) expected[tensor] = [...data];
    expect(await values(result)).toEqual(expected);
  });

  test("without new values every file is equal byte for byte", async () => {
    const source = await openCheckpoint(golden("defect_detection-codet5"));
    const folder = tempFolder();
    await writeCheckpoint({ source, replaced: new Map(), folder });
    expect(readFileSync(join(folder, "model.bin")).equals(readFileSync(source.files[0]!))).toBe(true);
  });

  test("a tied storage changes under all its names", async () => {
    const source = await openCheckpoint(golden("defect_detection-codet5"));
    const replaced = await newWeights(source, "encoder.shared.weight");
    const folder = tempFolder();
    await writeCheckpoint({ source, replaced, folder });
    const result = await openCheckpoint(folder);
    expect(outline(result)).toEqual(outline(source));
    expect(await readTensor(result.tensors.get("encoder.lm_head.weight")!)).toEqual(
      replaced.get("encoder.shared.weight"),
    );
  });

  test("different values for tied names are refused, equal ones accepted", async () => {
    const source = await openCheckpoint(golden("defect_detection-codet5"));
    const replaced = await newWeights(source, "encoder.shared.weight");
    const shared = replaced.get("encoder.shared.weight")!;
    replaced.set("encoder.lm_head.weight", shared.slice());
    await writeCheckpoint({ source, replaced, folder: tempFolder() });
    replaced.set("encoder.lm_head.weight", shared.with(3, 9));
    await expect(writeCheckpoint({ source, replaced, folder: tempFolder() })).rejects.toThrow(
      /shares its storage with .* new values differ/,
    );
  });

  test("a damaged source or impossible new values leave nothing behind", async () => {
    const sourceFolder = tempFolder();
    const file = join(sourceFolder, "pytorch_model.bin");
    copyFileSync(golden("layouts", "roberta-bin", "pytorch_model.bin"), file);
    chmodSync(file, 0o644);
    const source = await openCheckpoint(sourceFolder);
    const name = "classifier.out_proj.bias";
    const folder = join(tempFolder(), "new");
    const write = (data: Float32Array, tensor = name) =>
      writeCheckpoint({ source, replaced: new Map([[tensor, data]]), folder });
    await expect(write(new Float32Array(2))).rejects.toThrow('tensor "classifier.out_proj.bias": 2 values');
    await expect(write(Float32Array.of(1, Number.NaN, 2))).rejects.toThrow("NaN at element 1 is not finite");
    await expect(write(new Float32Array(3), "other")).rejects.toThrow('"other": is not in the checkpoint');
    const bytes = readFileSync(file);
    bytes[source.tensors.get(name)!.offset]! ^= 1;
    writeFileSync(file, bytes);
    await expect(write(new Float32Array(3))).rejects.toThrow("CRC-32 does not fit");
    expect(readdirSync(folder)).toEqual([]);
  });

  test("float16 has no room for 70,000", async () => {
    const source = await openCheckpoint(golden("layouts", "roberta-safetensors-float16"));
    const replaced = new Map([["classifier.out_proj.bias", Float32Array.of(1, 70_000, 0)]]);
    await expect(writeCheckpoint({ source, replaced, folder: tempFolder() })).rejects.toThrow(
      "the new value 70000 at element 1 is not finite in float16",
    );
  });
});

describe.skipIf(!hasShared)("a checkpoint in another container", () => {
  test.each([
    { name: "layouts/roberta-bin", write: writeSafetensors, file: "model.safetensors" },
    { name: "layouts/roberta-safetensors-bfloat16", write: writeTorchZip, file: "model.bin" },
    { name: "defect_detection-codet5", write: writeTorchZip, file: "model.bin" },
  ])("$name as $file has the same tensors", async ({ name, write, file }) => {
    const source = await openCheckpoint(golden(...name.split("/")));
    const folder = tempFolder();
    await write(join(folder, file), tensorsToWrite(source));
    const result = await openCheckpoint(folder);
    await verifyWeights(result);
    expect(outline(result)).toEqual(outline(source));
    expect(await values(result)).toEqual(await values(source));
  });
});

describe.skipIf(!hasShared)("Python reads a written archive as elibad does", () => {
  const ways = {
    "a patched copy": async (source: Checkpoint, replaced: Map<string, Float32Array>, folder: string) => {
      await writeCheckpoint({ source, replaced, folder });
    },
    "a new archive": async (source: Checkpoint, replaced: Map<string, Float32Array>, folder: string) =>
      writeTorchZip(join(folder, "model.bin"), tensorsToWrite(source, replaced)),
  };

  test.for(Object.entries(ways))("%s", async ([, write], { skip }) => {
    skip(python === undefined, NO_PYTHON);
    const source = await openCheckpoint(golden("defect_detection-codet5"));
    const folder = tempFolder();
    await write(
      source,
      await newWeights(source, "classifier.dense.weight", "encoder.lm_head.weight"),
      folder,
    );
    const expected = await outlineHere(await openCheckpoint(folder));
    for (const [reader, found] of outlinesInPython(join(folder, "model.bin")))
      expect(found, reader).toEqual(expected);
  });
});

describe("new archives", () => {
  const tensors: NewTensor[] = [
    { name: "matrix", dtype: "float32", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { name: "half", dtype: "float16", shape: [2], data: Float32Array.of(0.1, -2) },
    { name: "scalar", dtype: "bfloat16", shape: [], data: Float32Array.of(3) },
    { name: "empty", dtype: "float64", shape: [0, 4], data: new Float32Array() },
    { name: "naïve ⟨name⟩", dtype: "float64", shape: [1, 2], data: Float32Array.of(0.5, 7) },
  ];

  test.each([
    { file: "model.safetensors", write: writeSafetensors },
    { file: "model.bin", write: writeTorchZip },
  ])(
    "$file holds scalars, empty tensors and every floating dtype, the same bytes each time",
    async ({ file, write }) => {
      const [folder, other] = [tempFolder(), tempFolder()];
      await write(join(folder, file), tensors);
      await write(join(other, file), tensors);
      expect(readFileSync(join(folder, file)).equals(readFileSync(join(other, file)))).toBe(true);
      const result = await openCheckpoint(folder);
      for (const { name, dtype, shape } of tensors)
        expect(result.tensors.get(name)).toMatchObject({ name, dtype, shape });
      expect([...(await readTensor(result.tensors.get("naïve ⟨name⟩")!))]).toEqual([0.5, 7]);
      expect([...(await readTensor(result.tensors.get("half")!))]).toEqual([0.0999755859375, -2]);
      expect(await readTensorBytes(result.tensors.get("empty")!)).toHaveLength(0);
    },
  );

  test("a name that occurs twice or values that do not fit leave no file", async () => {
    const folder = tempFolder();
    for (const write of [writeSafetensors, writeTorchZip]) {
      await expect(write(join(folder, "file"), [...tensors, tensors[0]!])).rejects.toThrow(
        '"matrix": is to be written twice',
      );
      const wrong = { ...tensors[0]!, shape: [7] };
      await expect(write(join(folder, "file"), [wrong])).rejects.toThrow("6 values do not fit its shape [7]");
    }
    expect(readdirSync(folder)).toEqual([]);
  });
});
