import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { withTiedNames } from "../../../coordinator/cli/write-model.ts";
import { initialWeights } from "../../../coordinator/training/initial.ts";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { readTensor } from "../../../worker/checkpoint/read-tensor.ts";
import { checkTiedNames } from "../../../worker/checkpoint/tied-names.ts";
import { writeCheckpoint } from "../../../worker/checkpoint/write-checkpoint.ts";
import { writeSafetensors } from "../../../worker/checkpoint/write-safetensors.ts";
import { writeTorchZip } from "../../../worker/checkpoint/write-torch-zip.ts";
import { parseConfig } from "../../../worker/models/config.ts";
import { recogniseLayout, scratchTensors } from "../../../worker/models/layout.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const config = parseConfig(
  JSON.stringify({
    model_type: "t5",
    d_model: 8,
    d_kv: 4,
    d_ff: 8,
    num_layers: 1,
    num_heads: 2,
    vocab_size: 20,
  }),
);
const LM_HEAD = "encoder.lm_head.weight";

/** The folder of a small T5 trained from scratch, as a torch zip or a safetensors file; `change` edits the last tied name's values. */
async function written(
  container: "torch" | "safetensors",
  change: (values: Float32Array) => void = () => {},
) {
  const folder = tempFolder();
  const weights = initialWeights(scratchTensors(config, "defect_detection"), 1);
  const tensors = [...weights].map(([name, { shape, data }]) => {
    if (name !== LM_HEAD) return { name, dtype: "float32" as const, shape, data };
    const own = container === "torch" ? data : Float32Array.from(data);
    change(own);
    return { name, dtype: "float32" as const, shape, data: own };
  });
  if (container === "torch") await writeTorchZip(join(folder, "model.bin"), tensors);
  else await writeSafetensors(join(folder, "model.safetensors"), tensors);
  const { tensors: entries } = await openCheckpoint(folder);
  return { folder, entries, layout: recogniseLayout(config, entries, "defect_detection") };
}

describe("the four names of T5's table of word vectors", () => {
  test("are further names of one tensor, and lie in one place of a torch file", async () => {
    const { entries, layout } = await written("torch");

    expect([...layout.tied.keys()]).toEqual([
      "encoder.encoder.embed_tokens.weight",
      "encoder.decoder.embed_tokens.weight",
      LM_HEAD,
    ]);
    const places = ["encoder.shared.weight", ...layout.tied.keys()].map((name) => entries.get(name)!.offset);
    expect(new Set(places).size).toBe(1);
    expect(layout.unused).toEqual([]);
    await checkTiedNames(entries, layout.tied);
  });

  test("may be copies of equal bytes", async () => {
    const { entries, layout } = await written("safetensors");

    await checkTiedNames(entries, layout.tied);
  });

  test("are refused by name where one differs", async () => {
    const { entries, layout } = await written("safetensors", (values) => {
      values[5] = 7;
    });

    await expect(checkTiedNames(entries, layout.tied)).rejects.toThrow(
      /model\.safetensors: tensor .encoder\.lm_head\.weight.: differs from .encoder\.shared\.weight., and the model has one tensor/,
    );
  });
});

test.each(["torch", "safetensors"] as const)(
  "new values go under all names of a %s file that the source has",
  async (container) => {
    const { folder, layout } = await written(container);
    const source = await openCheckpoint(folder);
    const values = new Float32Array(20 * 8).fill(0.25);
    const target = tempFolder();

    await writeCheckpoint({
      source,
      replaced: withTiedNames({ layout }, new Map([["encoder.shared.weight", values]])),
      folder: target,
    });

    const { tensors } = await openCheckpoint(target);
    expect([...tensors.keys()]).toEqual([...source.tensors.keys()]);
    for (const name of ["encoder.shared.weight", ...layout.tied.keys()]) {
      expect(await readTensor(tensors.get(name)!), name).toEqual(values);
    }
    await checkTiedNames(tensors, layout.tied);
  },
);

test("an output projection that is not tied is a tensor of its own, and not used", () => {
  const untied = { ...config, tiedOutput: false } as typeof config;
  const tensors = new Map(
    scratchTensors(untied, "code_search").map(({ name, shape }) => [
      name,
      { dtype: "float32", shape, file: "model.bin" },
    ]),
  );

  const { tied, unused } = recogniseLayout(untied, tensors, "code_search");

  expect(tied.has(LM_HEAD)).toBe(false);
  expect(unused).toEqual([LM_HEAD]);
});
