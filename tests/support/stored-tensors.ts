import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NewTensor } from "../../worker/checkpoint/new-tensor.ts";
import { openCheckpoint, openWeightFile } from "../../worker/checkpoint/open-checkpoint.ts";
import { readTensor } from "../../worker/checkpoint/read-tensor.ts";
import type { Checkpoint, Dtype } from "../../worker/checkpoint/tensor-entry.ts";
import { writeSafetensors } from "../../worker/checkpoint/write-safetensors.ts";
import { tempFolder } from "./temp-folder.ts";

/** A checkpoint's tensors as another type, rounded to nearest even. */
export const castTensors = ({ tensors }: Pick<Checkpoint, "tensors">, dtype: Dtype): Promise<NewTensor[]> =>
  Promise.all(
    [...tensors.values()].map(async (entry) => ({
      name: entry.name,
      dtype,
      shape: entry.shape,
      data: await readTensor(entry),
    })),
  );

/** A copy of a checkpoint folder in a new folder: its weights as safetensors of a type, in one file or in shards with an index. */
export async function storedAs(
  source: string,
  { dtype, shards = 1 }: { readonly dtype: Dtype; readonly shards?: number },
): Promise<string> {
  const folder = tempFolder();
  copyFileSync(join(source, "config.json"), join(folder, "config.json"));
  const tensors = await castTensors(await openCheckpoint(source), dtype);
  if (shards === 1) {
    await writeSafetensors(join(folder, "model.safetensors"), tensors);
    return folder;
  }
  const fileOf = (shard: number) => `model-0000${shard + 1}-of-0000${shards}.safetensors`;
  const map = tensors.map(({ name }, at) => [name, fileOf(at % shards)] as const);
  for (let shard = 0; shard < shards; shard++) {
    const own = tensors.filter((_, at) => at % shards === shard);
    await writeSafetensors(join(folder, fileOf(shard)), own);
  }
  const index = { metadata: {}, weight_map: Object.fromEntries(map) };
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
  return folder;
}

/** An adapter folder as PEFT writes it today: weights as safetensors, of a type. */
export async function adapterAs(
  source: string,
  { file, dtype }: { readonly file: string; readonly dtype: Dtype },
): Promise<string> {
  const folder = tempFolder();
  copyFileSync(join(source, "adapter_config.json"), join(folder, "adapter_config.json"));
  const tensors = await openWeightFile(join(source, file), "torch-zip");
  await writeSafetensors(join(folder, "adapter_model.safetensors"), await castTensors({ tensors }, dtype));
  return folder;
}
