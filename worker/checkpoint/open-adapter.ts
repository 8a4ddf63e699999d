import { existsSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError } from "./checkpoint-error.ts";
import { openWeightFile } from "./open-checkpoint.ts";
import type { Checkpoint } from "./tensor-entry.ts";

/** What PEFT calls an adapter's configuration: its presence makes a folder an adapter. */
export const ADAPTER_CONFIG = "adapter_config.json";

/** PEFT's own order. */
const files = [
  { file: "adapter_model.safetensors", container: "safetensors" },
  { file: "adapter_model.bin", container: "torch-zip" },
] as const;

export const isAdapter = (folder: string): boolean => existsSync(join(folder, ADAPTER_CONFIG));

/** Configuration and weights of an adapter among the names of a folder; none where the folder is no adapter. */
export function adapterFilesAmong(names: readonly string[]): string[] {
  if (!names.includes(ADAPTER_CONFIG)) return [];
  const weights = files.find(({ file }) => names.includes(file));
  return [ADAPTER_CONFIG, ...(weights ? [weights.file] : [])];
}

/** Reads and checks the headers of an adapter's weights. Throws a `CheckpointError` for a folder without them, and for a broken file. */
export async function openAdapter(folder: string): Promise<Checkpoint> {
  const found = files.find(({ file }) => existsSync(join(folder, file)));
  if (found === undefined) {
    const looked = files.map(({ file }) => file).join(", ");
    throw new CheckpointError(
      folder,
      "folder",
      `${ADAPTER_CONFIG} and no adapter weights in it; looked for ${looked}`,
    );
  }
  const path = join(folder, found.file);
  const tensors = await openWeightFile(path, found.container);
  return { folder, container: found.container, sharded: false, files: [path], tensors };
}
