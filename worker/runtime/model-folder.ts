import { constants } from "node:fs";
import { copyFile, link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { digestOf } from "../../proto/canonical-json.ts";
import type { Digest, Task } from "../../proto/operations.ts";
import { readManifest } from "../cache/manifest.ts";
import { isAdapter } from "../checkpoint/open-adapter.ts";
import type { TensorEntry } from "../checkpoint/tensor-entry.ts";
import { checkTiedNames } from "../checkpoint/tied-names.ts";
import { type DType, encodeOnnx, type Graph } from "../graph/index.ts";
import { parseConfig } from "../models/config.ts";
import { recogniseLayout } from "../models/layout.ts";
import type { LowRankUpdate, StoredTensor } from "../models/weights.ts";
import type { StoredModel } from "../programs/model.ts";
import type { ResolveArtifact } from "./artifacts.ts";
import { openWeights } from "./open-weights.ts";

/** A checkpoint whose files lie in a folder of the engine's own, together with the programs made from it. */
export interface ModelFolder {
  readonly folder: string;
  readonly model: StoredModel;
}

export interface ModelFolderOptions {
  readonly resolveArtifact: ResolveArtifact;
  readonly programFolder: string;
  readonly log?: (message: string) => void;
}

/**
 * Lays a checkpoint out as a folder: onnxruntime maps weights only from files beside the program, by plain names and
 * without symbolic links. Files are hard links where the file system permits, else reflinks or copies.
 */
export async function openModelFolder(checkpoint: Digest, options: ModelFolderOptions): Promise<ModelFolder> {
  const manifest = await readManifest(await options.resolveArtifact(checkpoint), checkpoint);
  const folder = join(options.programFolder, checkpoint);
  try {
    await mkdir(folder, { recursive: true });
    for (const { name, digest } of manifest.files) {
      const way = await bring(await options.resolveArtifact(digest), join(folder, name));
      if (way === "copied") {
        options.log?.(
          `${name} of checkpoint ${checkpoint.slice(0, 12)} was copied: no link between the folders`,
        );
      }
    }
    return await readModelFolder(folder, manifest.task);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function readModelFolder(folder: string, task: Task): Promise<ModelFolder> {
  const config = parseConfig(await readFile(join(folder, "config.json"), "utf8"));
  const { tensors, adapter } = await openWeights(folder, isAdapter(folder) ? folder : undefined);
  const named = new Map(
    [...tensors].map(([name, entry]) => [name, { ...entry, file: basename(entry.file) }]),
  );
  const layout = recogniseLayout(config, named, task);
  await checkTiedNames(tensors, layout.tied);
  const stored = new Map(
    [...layout.weights.keys()].map((name) => {
      const update = adapter?.updates.get(name);
      return [name, { ...storedTensor(tensors.get(name)!), ...(update && { update: storedUpdate(update) }) }];
    }),
  );
  return { folder, model: { task, config, layout, stored } };
}

const storedTensor = ({ dtype, shape, file, offset, byteLength }: TensorEntry): StoredTensor => ({
  dtype: dtype as DType,
  shape,
  file: basename(file),
  offset,
  length: byteLength,
});

const storedUpdate = ({ a, b, scale }: LowRankUpdate<TensorEntry>): LowRankUpdate<StoredTensor> => ({
  a: storedTensor(a),
  b: storedTensor(b),
  scale,
});

/** Writes a program beside the weights that it names; the same program has the same path. */
export async function writeProgram(graph: Graph, folder: string): Promise<string> {
  const bytes = encodeOnnx(graph);
  const path = join(folder, `${digestOf(bytes)}.onnx`);
  await writeFile(`${path}.partial`, bytes);
  await rename(`${path}.partial`, path);
  return path;
}

async function bring(from: string, to: string): Promise<"linked" | "copied"> {
  await rm(to, { force: true });
  try {
    await link(from, to);
    return "linked";
  } catch {
    await copyFile(from, `${to}.partial`, constants.COPYFILE_FICLONE);
    await rename(`${to}.partial`, to);
    return "copied";
  }
}
