import { lstat, readFile, readlink, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { isAbsolute, join, normalize, sep } from "node:path";
import type { Digest } from "../../proto/operations.ts";
import { digestOfFile } from "./digest.ts";
import { ArtifactCorruptError } from "./errors.ts";

/** A volume of models that this worker and its coordinator both see, perhaps at other paths, and that neither need be able to write. */
export interface ModelsVolume {
  /** Where it is mounted here. */
  readonly folder: string;
  /** Where an artifact lies below it, by the coordinator's word; undefined where it does not. */
  readonly locate: (digest: Digest) => Promise<string | undefined>;
}

/**
 * Makes `destination` a link to the artifact's file on the volume, where it is there with the right bytes.
 *
 * @returns undefined where it is not
 * @throws ArtifactCorruptError where its bytes are others
 */
export async function linkInPlace(
  { folder, locate }: ModelsVolume,
  destination: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<"used in place" | undefined> {
  const path = await locate(digest);
  if (path === undefined) return undefined;
  const file = await fileBelow(folder, path);
  if (file === undefined) return undefined;
  const actual = await digestOfFile(file, signal);
  if (actual !== digest) throw new ArtifactCorruptError(digest, file, `has digest ${actual}`);
  await rm(destination, { force: true });
  await symlink(file, destination);
  return "used in place";
}

/** The file of a path below a folder, links resolved; undefined where there is none, or it lies elsewhere. */
async function fileBelow(folder: string, path: string): Promise<string | undefined> {
  if (isAbsolute(path) || normalize(path).startsWith("..")) return undefined;
  try {
    const root = await realpath(folder);
    const file = await realpath(join(root, path));
    if (!file.startsWith(root.endsWith(sep) ? root : `${root}${sep}`)) return undefined;
    return (await stat(file)).isFile() ? file : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a file is a link to somewhere else, and so takes no space where it is. */
export const isInPlace = async (path: string): Promise<boolean> => (await lstat(path)).isSymbolicLink();

/** What says that a file is still the one whose digest was checked. */
async function sameness(path: string): Promise<string> {
  const { ino, size, mtimeMs } = await stat(path);
  return `${await readlink(path)} ${ino}/${size}/${mtimeMs}`;
}

/** Notes in a file beside it what a link leads to. */
export const noteSameness = async (path: string, note: string): Promise<void> =>
  writeFile(note, await sameness(path));

/** Whether a link leads to the file that was noted. */
export const isSame = async (path: string, note: string): Promise<boolean> =>
  (await readFile(note, "utf8").catch(() => undefined)) === (await sameness(path).catch(() => ""));
