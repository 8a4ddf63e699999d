import { existsSync, statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { globSync, isDynamicPattern } from "tinyglobby";
import { isAdapter } from "../../worker/checkpoint/open-adapter.ts";
import { hasWeights } from "../../worker/checkpoint/open-checkpoint.ts";
import { isRemote } from "../sources/source.ts";
import { Name } from "../sweep/sweep.ts";
import { requireBoundedGlob } from "./bounded-globs.ts";
import { InputError } from "./errors.ts";
import { readInputFile } from "./input-file.ts";
import { absoluteSource } from "./sweep-sources.ts";

/** Of one sweep. */
const MAX_MODELS = 10_000;
/** Of a list of them. */
const MAX_LIST_BYTES = 8 * 1024 ** 2;

/** A folder or glob, and what names it in errors: file and line. */
export interface ModelEntry {
  readonly place: string;
  /** A folder, a glob of folders, or another source. */
  readonly path: string;
  /** Absent: the folder's own name. */
  readonly name?: string;
}

/** A model of a sweep. */
export interface SweepModel {
  readonly name: string;
  /** Absolute, or the text of a bucket's folder or an upload. */
  readonly folder: string;
  /** Where it is named. */
  readonly place: string;
}

/** Entries of a list file: a folder or glob on each line; empty lines and those that begin with # say nothing. */
export const listEntries = (place: string, file: string, folder: string): ModelEntry[] =>
  readInputFile(`${place}: list_file `, file, folder, MAX_LIST_BYTES)
    .split("\n")
    .map((line, k) => ({ place: `${file} line ${k + 1}`, path: line.trim() }))
    .filter(({ path }) => path !== "" && !path.startsWith("#"));

/**
 * The checkpoint folders that entries name, in their order, those of a glob by name; a folder that several name counts once.
 *
 * @param relativeTo folder that relative paths begin in
 * @throws InputError naming the entry's file and line: for a glob without folders, a folder that is no checkpoint, two models of one name
 */
export function resolveModels(entries: readonly ModelEntry[], relativeTo: string): SweepModel[] {
  const models = new Map<string, SweepModel>();
  for (const entry of entries) {
    for (const folder of foldersOf(entry, relativeTo)) {
      const name = entry.name ?? basename(folder);
      const { place } = entry;
      const known = models.get(name);
      if (known?.folder === folder) continue;
      if (known !== undefined)
        throw new InputError(
          `${place}: two models have the name '${name}', ${known.folder} (${known.place}) and ${folder}; give one another: a list item 'other-name: ${entry.name === undefined ? entry.path : folder}'`,
        );
      const wrong = Name.safeParse(name).error?.issues[0]?.message;
      if (wrong !== undefined)
        throw new InputError(
          `${place}: '${name}' cannot be a model's name: ${wrong}; write 'name: ${folder}'`,
        );
      models.set(name, { name, folder, place });
      if (models.size > MAX_MODELS)
        throw new InputError(`${place}: the sweep has more than ${MAX_MODELS} models: make several of it`);
    }
  }
  return [...models.values()];
}

function foldersOf({ place, path, name }: ModelEntry, relativeTo: string): string[] {
  if (isRemote(path)) {
    if (name === undefined && path.startsWith("upload:"))
      throw new InputError(`${place}: ${path}: an upload has no name of its own; write 'name: ${path}'`);
    return [absoluteSource(place, path, relativeTo)];
  }
  const isGlob = isDynamicPattern(path);
  if (!isGlob) return [checkpointAt(place, path, relativeTo)];
  if (name !== undefined)
    throw new InputError(`${place}: ${name}: ${path} is a glob; a name belongs to one folder`);
  requireBoundedGlob(place, path);
  const found = foldersMatching(path, relativeTo);
  if (found.length === 0) throw new InputError(`${place}: ${path}: no folder matches`);
  return found.map((folder) => checkpointAt(place, folder, relativeTo)).sort();
}

/** Also those that are links, which the library finds only by what lies in them. */
function foldersMatching(glob: string, cwd: string): string[] {
  const options = { cwd, expandDirectories: false, absolute: true };
  const folders = globSync(glob, { ...options, onlyDirectories: true }).map((folder) => resolve(folder));
  const files = globSync(`${glob.replace(/\/+$/, "")}/*`, { ...options, onlyFiles: true, dot: true });
  return [...new Set([...folders, ...files.map(dirname)])];
}

function checkpointAt(place: string, path: string, relativeTo: string): string {
  const folder = resolve(relativeTo, path);
  if (!existsSync(folder)) throw new InputError(`${place}: ${path}: no such folder`);
  if (!statSync(folder).isDirectory())
    throw new InputError(`${place}: ${path}: is a file; name the folder that it lies in`);
  if (!hasWeights(folder) && !isAdapter(folder))
    throw new InputError(
      `${place}: ${path}: no checkpoint in it (model.bin, pytorch_model.bin or model.safetensors, or a LoRA adapter)`,
    );
  return folder;
}
