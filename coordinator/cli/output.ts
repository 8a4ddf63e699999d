import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { InputError } from "./errors.ts";

/** Writes a whole file or nothing: into a neighbour first, then renamed into place. */
export function writeFileWhole(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  const aside = `${path}.${process.pid}.tmp`;
  writeFileSync(aside, content);
  renameSync(aside, path);
}

/** A file that grows line by line and appears under its name only when it is complete. */
export interface LineFile {
  write(record: unknown): void;
  /** Puts the file in place. */
  commit(): Promise<void>;
  /** Removes what was written. */
  discard(): void;
}

/** JSONL that is written while the work goes on, as `<path>.partial` until `commit`. */
export function openLineFile(path: string): LineFile {
  mkdirSync(dirname(path), { recursive: true });
  const partial = `${path}.partial`;
  const stream = createWriteStream(partial);
  return {
    write: (record) => void stream.write(`${JSON.stringify(record)}\n`),
    commit: () =>
      new Promise((resolve, reject) => {
        stream.on("error", reject);
        stream.end(() => {
          renameSync(partial, path);
          resolve();
        });
      }),
    discard() {
      stream.destroy();
      rmSync(partial, { force: true });
    },
  };
}

/**
 * Fills a new folder and puts it in place as a whole: whoever sees the folder sees all of it.
 *
 * @throws InputError where `folder` exists and is not empty, before `fill` runs.
 */
export async function writeFolderWhole(
  folder: string,
  fill: (aside: string) => Promise<void>,
): Promise<void> {
  requireFreshFolder(folder);
  const aside = `${folder.replace(/\/+$/, "")}.${process.pid}.tmp`;
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true });
  try {
    await fill(aside);
    if (existsSync(folder)) rmSync(folder, { recursive: true });
    renameSync(aside, folder);
  } catch (error) {
    rmSync(aside, { recursive: true, force: true });
    throw error;
  }
}

/** @throws InputError where the output folder holds files already: elibad never overwrites a result. */
export function requireFreshFolder(folder: string): void {
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new InputError(`--out ${folder}: the folder is not empty; name a new one (nothing was written)`);
  }
}
