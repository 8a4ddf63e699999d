import { copyFileSync, existsSync } from "node:fs";
import { basename, join } from "node:path";
import { type NewTensor, tensorsToWrite } from "../../worker/checkpoint/new-tensor.ts";
import type { Checkpoint } from "../../worker/checkpoint/tensor-entry.ts";
import { writeCheckpoint } from "../../worker/checkpoint/write-checkpoint.ts";
import { writeSafetensors } from "../../worker/checkpoint/write-safetensors.ts";
import { writeTorchZip } from "../../worker/checkpoint/write-torch-zip.ts";
import { TOKENIZER_FILES } from "../data/tokenizer-files.ts";
import { type ModelOptions, type OpenedModel, tokenizerFolder } from "./open-model.ts";
import { readWeight } from "./trainable-weights.ts";
import { headOfAdapter, writeAdapter } from "./write-adapter.ts";

/** Copies tokenizer files to a new checkpoint, so that it stands alone. Does nothing where there is no tokenizer. */
export function copyTokenizer(from: Pick<ModelOptions, "model" | "base">, to: string): void {
  const folder = tokenizerFolder(from);
  if (folder === undefined) return;
  for (const file of TOKENIZER_FILES) {
    if (existsSync(join(folder, file))) copyFileSync(join(folder, file), join(to, file));
  }
}

/**
 * `same`: the container, file names and shards of the source; an adapter stays an adapter where only its head changed, and is merged with
 * its base otherwise. `merged`: the same, and an adapter always merged.
 */
export type CheckpointFormat = "same" | "merged" | "torch-zip" | "safetensors";

/** New values under every name that the checkpoint has for a tensor. */
export function withTiedNames(
  { layout }: Pick<OpenedModel, "layout">,
  changed: ReadonlyMap<string, Float32Array>,
): Map<string, Float32Array> {
  const tied = [...layout.tied].filter(([, first]) => changed.has(first));
  return new Map([...changed, ...tied.map(([name, first]) => [name, changed.get(first)!] as const)]);
}

/** Writes a checkpoint with some new weights, its configuration and tokenizer into a folder; names, shapes and dtypes are the source's. */
export async function writeModel(
  opened: OpenedModel,
  from: Pick<ModelOptions, "model" | "base">,
  changed: ReadonlyMap<string, Float32Array>,
  { format, folder }: { readonly format: CheckpointFormat; readonly folder: string },
): Promise<void> {
  const head = format === "same" ? await headOfAdapter(opened, changed) : undefined;
  if (head !== undefined) await writeAdapter(opened, head, folder);
  else {
    await writeWhole(opened, changed, { format, folder });
    copyFileSync(opened.configFile, join(folder, "config.json"));
  }
  copyTokenizer(from, folder);
}

async function writeWhole(
  opened: OpenedModel,
  changed: ReadonlyMap<string, Float32Array>,
  { format, folder }: { readonly format: CheckpointFormat; readonly folder: string },
): Promise<void> {
  const { checkpoint } = opened;
  const merged = withTiedNames(opened, await withAdapter(opened, changed));
  const replaced = new Map([...merged].filter(([name]) => checkpoint.tensors.has(name)));
  const added = [...merged]
    .filter(([name]) => !replaced.has(name))
    .map(([name, data]): NewTensor => {
      const { dtype, shape } = opened.tensors.get(name)!;
      return { name, dtype, shape, data };
    });
  const inPlace = format === "same" || format === "merged";
  if (inPlace && added.length === 0) {
    await writeCheckpoint({ source: checkpoint, replaced, folder });
    return;
  }
  const container = inPlace ? checkpoint.container : format;
  const path = join(folder, inPlace ? wholeName(checkpoint) : WHOLE_NAMES[container]);
  const write = container === "safetensors" ? writeSafetensors : writeTorchZip;
  await write(path, [...tensorsToWrite(checkpoint, replaced), ...added]);
}

const WHOLE_NAMES = { safetensors: "model.safetensors", "torch-zip": "model.bin" } as const;

/** The source's own file name, or that of one file for all its shards. */
const wholeName = ({ container, sharded, files }: Checkpoint): string =>
  sharded ? WHOLE_NAMES[container] : basename(files[0]!);

/** The changed weights, and all that an adapter makes other than its base's. */
async function withAdapter(
  opened: OpenedModel,
  changed: ReadonlyMap<string, Float32Array>,
): Promise<ReadonlyMap<string, Float32Array>> {
  const { adapter } = opened;
  if (adapter === undefined) return changed;
  const all = new Map(changed);
  for (const name of [...adapter.updates.keys(), ...adapter.saved.keys()]) {
    if (!all.has(name)) all.set(name, await readWeight(opened, name));
  }
  return all;
}
