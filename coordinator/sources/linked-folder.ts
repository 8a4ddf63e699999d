import { randomUUID } from "node:crypto";
import { mkdir, rename, rm, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

export interface LinkedFile {
  /** A plain name: see `isPlainName`. */
  readonly name: string;
  /** The file that stands behind it. */
  readonly target: string;
}

/** Makes a folder whose files are links to others; it appears whole. One that is there stays as it is: its path says what is in it. */
export async function linkFolder(folder: string, files: readonly LinkedFile[]): Promise<void> {
  const parent = dirname(folder);
  const aside = join(parent, `.${randomUUID()}`);
  await mkdir(aside, { recursive: true });
  try {
    // Relative, so that all of it may be moved.
    for (const { name, target } of files) await symlink(relative(folder, target), join(aside, name));
    await rename(aside, folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}
