import { constants } from "node:fs";
import { copyFile, link, mkdir, readFile, realpath, rename, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { digestOf } from "../../proto/canonical-json.ts";
import type { Digest, Task } from "../../proto/operations.ts";
import { readManifest } from "../cache/manifest.ts";
import { isInPlace } from "../cache/models-volume.ts";
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
  /** Where onnxruntime maps weights from: beside the programs, or where they lie on a volume of models. */
  readonly weightsFolder: string;
  readonly model: StoredModel;
}

export interface ModelFolderOptions {
  readonly resolveArtifact: ResolveArtifact;
  readonly programFolder: string;
  readonly log?: (message: string) => void;
}

/**
 * Lays a checkpoint out as a folder: onnxruntime maps weights only from files beside the program, by plain names and
 * without symbolic links. Files are hard links where the file system permits, else reflinks or copies. Weights that lie under their own
 * names in one folder of a volume of models stay there.
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
    return await readModelFolder(folder, manifest.task, options);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function readModelFolder(
  folder: string,
  task: Task,
  { log }: Pick<ModelFolderOptions, "log">,
): Promise<ModelFolder> {
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
  const files = new Set([...named.values()].map(({ file }) => file));
  for (const update of adapter?.updates.values() ?? [])
    for (const { file } of [update.a, update.b]) files.add(basename(file));
  const weightsFolder = await weightsTogether(folder, [...files], log);
  return { folder, weightsFolder, model: { task, config, layout, stored } };
}

/** The one folder that weight files are mapped from, under their names. Links that lead elsewhere or to other names become copies. */
async function weightsTogether(
  folder: string,
  names: readonly string[],
  log: ModelFolderOptions["log"],
): Promise<string> {
  const linked: string[] = [];
  for (const name of names) if (await isInPlace(join(folder, name))) linked.push(name);
  if (linked.length === 0) return folder;
  const places = await Promise.all(names.map((name) => realpath(join(folder, name))));
  const first = dirname(places[0]!);
  if (places.every((place, k) => place === join(first, names[k]!))) return first;
  for (const name of linked) {
    const place = await realpath(join(folder, name));
    await rm(join(folder, name));
    await copyFile(place, join(folder, name), constants.COPYFILE_FICLONE);
    log?.(`${place} was copied: it does not lie together with the other weights, under its own name`);
  }
  return folder;
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
  if (await isInPlace(from)) {
    await symlink(await realpath(from), to);
    return "linked";
  }
  try {
    await link(from, to);
    return "linked";
  } catch {
    await copyFile(from, `${to}.partial`, constants.COPYFILE_FICLONE);
    await rename(`${to}.partial`, to);
    return "copied";
  }
}
