import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { asCheckpointError, CheckpointError, quoted } from "./checkpoint-error.ts";
import { openSafetensors } from "./safetensors.ts";
import { isJsonObject, parseStrictJson } from "./strict-json.ts";
import type { Checkpoint, TensorEntry } from "./tensor-entry.ts";
import { openTorchZip } from "./torch-zip.ts";

type Container = Checkpoint["container"];

/** What a folder may hold, the first that exists wins: transformers' own order, then the published wrapper's name. */
const layouts: readonly { readonly file: string; readonly container: Container; readonly index?: true }[] = [
  { file: "model.safetensors", container: "safetensors" },
  { file: "model.safetensors.index.json", container: "safetensors", index: true },
  { file: "pytorch_model.bin", container: "torch-zip" },
  { file: "pytorch_model.bin.index.json", container: "torch-zip", index: true },
  { file: "model.bin", container: "torch-zip" },
];

const MAX_INDEX_BYTES = 32 * 2 ** 20;
const MAX_SHARDS = 1_000;

/**
 * Finds the weights of a checkpoint folder and reads and checks their headers; the weights themselves are not read
 * (`verifyWeights` does that). Throws a `CheckpointError` for a folder without weights and for every broken file.
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const names = await listFolder(folder);
  const layout = layouts.find(({ file }) => names.includes(file));
  if (layout === undefined) {
    const looked = layouts.map(({ file }) => file).join(", ");
    throw new CheckpointError(folder, "folder", `no checkpoint in it; looked for ${looked}`);
  }
  const { container } = layout;
  const path = join(folder, layout.file);
  if (layout.index) return openSharded(folder, path, container);
  return { folder, container, sharded: false, files: [path], tensors: await openWeightFile(path, container) };
}

/** Whether a folder has weights of its own. */
export const hasWeights = (folder: string): boolean =>
  layouts.some(({ file }) => existsSync(join(folder, file)));

/** Weight files, and their index, among the names of a folder; of a sharded checkpoint all that may be shards, since only its index says which are. */
export function weightFilesAmong(names: readonly string[]): string[] {
  const layout = layouts.find(({ file }) => names.includes(file));
  if (layout?.index === undefined) return layout === undefined ? [] : [layout.file];
  const extension = extensionOf(layout.container);
  return [layout.file, ...names.filter((name) => /\d/.test(name) && name.endsWith(extension))];
}

/** Tensors of one weight file. */
export function openWeightFile(
  path: string,
  container: Container,
): Promise<ReadonlyMap<string, TensorEntry>> {
  return container === "safetensors" ? openSafetensors(path) : openTorchZip(path);
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    const isFile = await stat(folder).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isFile) throw new CheckpointError(folder, "folder", "is a file; name the folder that it lies in");
    throw asCheckpointError(error, folder, "folder");
  }
}

async function openSharded(folder: string, index: string, container: Container): Promise<Checkpoint> {
  const weightMap = await readIndex(index, container);
  const shards = [...new Set(weightMap.values())];
  if (shards.length > MAX_SHARDS)
    throw new CheckpointError(index, "weight_map", `more than ${MAX_SHARDS} shards`);
  const found = new Map<string, ReadonlyMap<string, TensorEntry>>();
  for (const shard of shards) found.set(shard, await openWeightFile(join(folder, shard), container));
  const tensors = new Map<string, TensorEntry>();
  for (const [name, shard] of weightMap) {
    const entry = found.get(shard)?.get(name);
    if (entry === undefined)
      throw new CheckpointError(
        join(folder, shard),
        `tensor ${quoted(name)}`,
        "the index places it here, and it is not",
      );
    tensors.set(name, entry);
  }
  return {
    folder,
    container,
    sharded: true,
    files: shards.map((shard) => join(folder, shard)),
    index,
    tensors,
  };
}

async function readIndex(path: string, container: Container): Promise<ReadonlyMap<string, string>> {
  const refuse = (place: string, reason: string): never => {
    throw new CheckpointError(path, place, reason);
  };
  let index: unknown;
  try {
    if ((await stat(path)).size > MAX_INDEX_BYTES) refuse("file", `an index above ${MAX_INDEX_BYTES} bytes`);
    index = parseStrictJson(await readFile(path));
  } catch (error) {
    throw asCheckpointError(error, path, "file");
  }
  const map = isJsonObject(index) ? index.weight_map : undefined;
  if (!isJsonObject(map)) return refuse("weight_map", "is not an object of shard names");
  const extension = extensionOf(container);
  const weightMap = new Map<string, string>();
  for (const [name, shard] of Object.entries(map)) {
    const place = `weight_map field ${quoted(name)}`;
    if (typeof shard !== "string") return refuse(place, "is not a shard's name");
    if (!/^[\w.-]+$/.test(shard) || shard.startsWith(".") || !shard.endsWith(extension))
      refuse(place, `shard ${quoted(shard)} is not a plain file name ending in ${extension}`);
    weightMap.set(name, shard);
  }
  if (weightMap.size === 0) refuse("weight_map", "names no tensors");
  return weightMap;
}

const extensionOf = (container: Container): string => (container === "safetensors" ? ".safetensors" : ".bin");
