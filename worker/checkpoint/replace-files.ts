import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

export interface FileToWrite {
  readonly path: string;
  /** Writes the whole content to a path that does not exist yet. */
  write(temporary: string): Promise<void>;
}

/**
 * Writes files beside their targets under temporary names, syncs them, and renames them when all are complete: no
 * target is ever half-written, and a failure leaves nothing behind.
 */
export async function replaceFiles(files: readonly FileToWrite[]): Promise<void> {
  const suffix = `${randomBytes(4).toString("hex")}.tmp`;
  const moves = files.map(({ path, write }) => ({
    path,
    write,
    temporary: join(dirname(path), `.${basename(path)}.${suffix}`),
  }));
  try {
    for (const { temporary, write } of moves) {
      await mkdir(dirname(temporary), { recursive: true });
      await write(temporary);
      await sync(temporary);
    }
    for (const { temporary, path } of moves) await rename(temporary, path);
  } catch (error) {
    for (const { temporary } of moves) await rm(temporary, { force: true });
    throw error;
  }
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r+");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
