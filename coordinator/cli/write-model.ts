import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { tensorsToWrite } from "../../worker/checkpoint/new-tensor.ts";
import { writeCheckpoint } from "../../worker/checkpoint/write-checkpoint.ts";
import { writeSafetensors } from "../../worker/checkpoint/write-safetensors.ts";
import { writeTorchZip } from "../../worker/checkpoint/write-torch-zip.ts";
import { type ModelOptions, type OpenedModel, tokenizerFolder } from "./open-model.ts";

const TOKENIZER_FILES = [
  "vocab.json",
  "merges.txt",
  "tokenizer.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "tokenizer_config.json",
] as const;

/** Copies tokenizer files to a new checkpoint, so that it stands alone. Does nothing where there is no tokenizer. */
export function copyTokenizer(from: Pick<ModelOptions, "model" | "base">, to: string): void {
  const folder = tokenizerFolder(from);
  if (folder === undefined) return;
  for (const file of TOKENIZER_FILES) {
    if (existsSync(join(folder, file))) copyFileSync(join(folder, file), join(to, file));
  }
}

/** `same`: the container, file names and shards of the source. */
export type CheckpointFormat = "same" | "torch-zip" | "safetensors";

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
  const { checkpoint } = opened;
  const replaced = withTiedNames(opened, changed);
  if (format === "same") await writeCheckpoint({ source: checkpoint, replaced, folder });
  else if (format === "safetensors") {
    await writeSafetensors(join(folder, "model.safetensors"), tensorsToWrite(checkpoint, replaced));
  } else await writeTorchZip(join(folder, "model.bin"), tensorsToWrite(checkpoint, replaced));
  copyFileSync(opened.configFile, join(folder, "config.json"));
  copyTokenizer(from, folder);
}
