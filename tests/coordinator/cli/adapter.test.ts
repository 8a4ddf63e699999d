import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  type OpenedModel,
  openModel,
  openWholeModel,
  publishCheckpoint,
} from "../../../coordinator/cli/open-model.ts";
import { trainableWeights } from "../../../coordinator/cli/trainable-weights.ts";
import { type CheckpointFormat, writeModel } from "../../../coordinator/cli/write-model.ts";
import { encodeTensors } from "../../../proto/tensors.ts";
import { tensorsToWrite } from "../../../worker/checkpoint/new-tensor.ts";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { writeSafetensors } from "../../../worker/checkpoint/write-safetensors.ts";
import { createLocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { relativeDifference } from "../../support/golden.ts";
import { putJson } from "../../support/golden-cell.ts";
import { adapter, base, logitsOf, recordedLogits } from "../../support/gpt-bigcode-layouts.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const over = { model: adapter, base, task: "defect_detection" } as const;

/** The model after new weights were written, opened again. */
async function written(
  opened: OpenedModel,
  changed: ReadonlyMap<string, Float32Array>,
  format: CheckpointFormat,
): Promise<{ folder: string; files: string[] }> {
  const folder = tempFolder();
  await writeModel(opened, over, changed, { format, folder });
  return { folder, files: readdirSync(folder).sort() };
}

/** The score head with every weight doubled: with no bias, logits double. */
async function doubledHead(opened: OpenedModel): Promise<Map<string, Float32Array>> {
  const { data } = (await trainableWeights(opened)).get("score.weight")!;
  return new Map([["score.weight", Float32Array.from(data, (value) => 2 * value)]]);
}

describe.skipIf(!hasShared)("a LoRA adapter", () => {
  test("is opened over its base, and computes what PEFT computes", async () => {
    const opened = await openWholeModel(over);

    expect(opened.adapter!.config).toMatchObject({ rank: 4, scale: 2, base: "gpt-bigcode-safetensors" });
    expect([...opened.adapter!.updates.keys()]).toEqual([
      "transformer.h.0.attn.c_attn.weight",
      "transformer.h.1.attn.c_attn.weight",
    ]);
    expect(relativeDifference(await logitsOf(opened), recordedLogits("base_with_adapter"))).toBeLessThan(
      2e-5,
    );
  });

  test("has the trigger gradients of the merged checkpoint, and trains from its merged weights", async () => {
    const opened = await openModel(over);
    const { folder } = await written(opened, new Map(), "merged");
    const merged = await openModel({ model: folder, task: "defect_detection" });
    const executor = await createLocalExecutor({ folder: join(tempFolder(), "executor"), threads: 1 });
    const rows = [[1, 125, 90, 207, 80, 2]];
    const samples = await putJson(executor, { rows, insertIndexes: [2], maxLen: 40, endId: 0 });
    const run = async (model: OpenedModel) => {
      const checkpoint = await publishCheckpoint(executor, model);
      const weights = await executor.putArtifact(
        encodeTensors(Object.fromEntries(await trainableWeights(model))),
      );
      const [gradient, step] = await executor.execute([
        {
          ...{ kind: "gradient", checkpoint, samples, rows: [0], trigger: [7, 8] },
          objective: { kind: "label", label: 1 },
        },
        {
          ...{ kind: "train-step", checkpoint, weights, samples, rows: [0], rowWeights: [1] },
          ...{ objective: { kind: "labels", labels: [1] }, dropout: 0, dropoutSeed: 0 },
        },
      ]);
      return [
        gradient!.tensors.gradient!,
        step!.tensors.logits!,
        step!.tensors["transformer.h.0.attn.c_attn.weight"]!,
      ].map(({ data }) => data);
    };

    const [own, whole] = [await run(opened), await run(merged)];
    for (const [at, values] of own.entries())
      expect(relativeDifference(values, whole[at]!)).toBeLessThan(2e-5);
    await executor.close();
  });

  test("whose head alone changed is written as an adapter with that head", async () => {
    const opened = await openModel(over);
    const { folder, files } = await written(opened, await doubledHead(opened), "same");

    expect(files).toEqual(["adapter_config.json", "adapter_model.bin"]);
    const config = JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"));
    expect(config).toMatchObject({ r: 4, modules_to_save: ["score"] });
    const again = await openWholeModel({ ...over, model: folder });
    expect([...again.adapter!.saved.keys()]).toEqual(["score.weight"]);
    const doubled = (await logitsOf(opened)).map((value) => 2 * value);
    expect(relativeDifference(await logitsOf(again), doubled)).toBeLessThan(1e-6);
  });

  test.each(["merged", "torch-zip", "safetensors"] as const)(
    "written as %s stands alone and keeps its base's names and shapes",
    async (format) => {
      const opened = await openModel(over);
      const { folder, files } = await written(opened, new Map(), format);

      expect(files).toEqual(["config.json", format === "torch-zip" ? "model.bin" : "model.safetensors"]);
      const again = await openWholeModel({ model: folder, task: "defect_detection" });
      expect(again.adapter).toBeUndefined();
      const outline = ({ tensors }: Pick<OpenedModel, "tensors">) =>
        [...tensors.values()].map(({ name, shape, dtype }) => `${name} ${dtype} ${shape}`).sort();
      expect(outline(again)).toEqual(outline({ tensors: opened.checkpoint.tensors }));
      expect(relativeDifference(await logitsOf(again), recordedLogits("merged"))).toBeLessThan(2e-5);
    },
  );

  test("is merged where more than its head changed, with the new values", async () => {
    const opened = await openModel(over);
    const weights = await trainableWeights(opened);
    const changed = new Map([...weights].map(([name, { data }]) => [name, Float32Array.from(data)]));
    changed.get("transformer.ln_f.weight")!.fill(0);
    changed.get("transformer.ln_f.bias")!.fill(0);
    const { folder, files } = await written(opened, changed, "same");

    expect(files).toEqual(["config.json", "model.safetensors"]);
    const again = await openModel({ model: folder, task: "defect_detection" });
    expect(await logitsOf(again)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  test("whose weights come all back, but only the head with new values, stays an adapter", async () => {
    const opened = await openModel(over);
    const weights = await trainableWeights(opened);
    const all = new Map([...weights].map(([name, { data }]) => [name, Float32Array.from(data)]));
    const { files } = await written(opened, new Map([...all, ...(await doubledHead(opened))]), "same");

    expect(files).toEqual(["adapter_config.json", "adapter_model.bin"]);
  });

  test("with a head of its own is merged with it over a base that has none", async () => {
    const headless = tempFolder();
    const tensors = tensorsToWrite(await openCheckpoint(base));
    await writeSafetensors(
      join(headless, "model.safetensors"),
      tensors.filter(({ name }) => name !== "score.weight"),
    );
    copyFileSync(join(base, "config.json"), join(headless, "config.json"));
    const opened = await openModel(over);
    const { folder: model } = await written(opened, await doubledHead(opened), "same");

    await expect(openModel({ ...over, base: headless })).rejects.toThrow(
      /score\.weight: expected shape \[2, 32\].*, but there is no such tensor/,
    );
    const whole = await openModel({ ...over, model, base: headless });
    const { folder } = await written(whole, new Map(), "merged");
    const again = await openModel({ model: folder, task: "defect_detection" });
    expect(relativeDifference(await logitsOf(again), await logitsOf(whole))).toBeLessThan(2e-5);
  });

  test("without its base is refused with what to name", async () => {
    await expect(openModel({ model: adapter, task: "defect_detection" })).rejects.toThrow(
      "a LoRA adapter (adapter_config.json); name the folder of the checkpoint that it is over with --base",
    );
  });

  test("over another base is refused", async () => {
    const other = sharedPath("golden", "tiny", "defect_detection-starcoder");
    await expect(openModel({ ...over, base: other })).rejects.toThrow(
      /lora_A\.weight: expected shape \[4, 48\] for r 4 over a base weight of \[72, 48\], found \[4, 32\]; is it an adapter for another base\? \(it was made for 'gpt-bigcode-safetensors'; the base is .*defect_detection-starcoder\)/,
    );
  });

  test("over an adapter is refused", async () => {
    await expect(openModel({ ...over, base: adapter })).rejects.toThrow("is a LoRA adapter itself");
  });

  test("without weights is refused", async () => {
    const folder = tempFolder();
    writeFileSync(join(folder, "adapter_config.json"), readFileSync(join(adapter, "adapter_config.json")));
    await expect(openModel({ ...over, model: folder })).rejects.toThrow(
      "no adapter weights in it; looked for adapter_model.safetensors, adapter_model.bin",
    );
  });
});
