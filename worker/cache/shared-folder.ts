import { constants } from "node:fs";
import { copyFile, link, realpath, rm, stat } from "node:fs/promises";
import type { Digest } from "../../proto/operations.ts";
import { digestOfFile } from "./digest.ts";
import { ArtifactCorruptError } from "./errors.ts";

export type Takeover = "linked" | "copied";

/**
 * Brings a file of a shared volume to `destination`: as a hard link, which costs no space, else as a copy (another file
 * system, or one without links). The digest is checked afterwards, since nobody here watched the bytes being written.
 *
 * @returns undefined where the volume does not have the file.
 * @throws ArtifactCorruptError where its bytes are others; `destination` is gone then.
 */
export async function takeOver(
  from: string,
  destination: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<Takeover | undefined> {
  // A link to a file of another volume is followed here, and no link to it is made.
  const file = await realpath(from).catch(() => undefined);
  if (file === undefined || !(await stat(file)).isFile()) return undefined;
  await rm(destination, { force: true });
  let way: Takeover = "linked";
  try {
    await link(file, destination);
  } catch {
    way = "copied";
    // A reflink shares blocks where the file system can.
    await copyFile(file, destination, constants.COPYFILE_FICLONE);
  }
  const actual = await digestOfFile(destination, signal).catch(async (error: unknown) => {
    await rm(destination, { force: true });
    throw error;
  });
  if (actual === digest) return way;
  await rm(destination, { force: true });
  throw new ArtifactCorruptError(digest, from, `has digest ${actual}`);
}
