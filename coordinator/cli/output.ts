import { randomUUID } from "node:crypto";
import { once } from "node:events";
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { InputError } from "./errors.ts";
import { fileProblem } from "./input-file.ts";

/** Writes a whole file or nothing: into a neighbour first, then renamed into place. */
export function writeFileWhole(path: string, content: string | Uint8Array, mode = 0o666): void {
  mkdirSync(dirname(path), { recursive: true });
  const aside = `${path}.${randomUUID()}.tmp`;
  try {
    writeFileSync(aside, content, { mode });
    renameSync(aside, path);
  } catch (error) {
    rmSync(aside, { force: true });
    throw error;
  }
}

/** A file that grows line by line and appears under its name only when it is complete. */
export interface LineFile {
  write(record: unknown): void;
  /** Resolves when the disk has kept up: what writes a lot waits for it now and then. */
  ready(): Promise<void>;
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
  // A full disk shows at any write; it is kept until somebody waits for the file.
  let broken: Error | undefined;
  stream.on("error", (error) => {
    broken ??= error;
  });
  return {
    write: (record) => void stream.write(`${JSON.stringify(record)}\n`),
    async ready() {
      // Where the disk fails, `commit` says so.
      if (!broken && stream.writableNeedDrain) await once(stream, "drain").catch(() => undefined);
    },
    async commit() {
      await new Promise<void>((done) => {
        stream.once("close", () => done());
        stream.end();
      });
      if (broken) throw new Error(`${path} could not be written`, { cause: broken });
      renameSync(partial, path);
    },
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
  const aside = `${folder.replace(/\/+$/, "")}.${randomUUID()}.tmp`;
  mkdirSync(aside, { recursive: true });
  try {
    await fill(aside);
    // Fails where somebody has put files there in the meantime: their result stays.
    if (existsSync(folder)) rmdirSync(folder);
    renameSync(aside, folder);
  } catch (error) {
    rmSync(aside, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Checks an output folder before any work is done.
 *
 * @throws InputError where it holds files already (elibad never overwrites a result), is a file, or lies under one
 */
export function requireFreshFolder(folder: string): void {
  if (isFolder(`--out ${folder}`, folder) === false) {
    throw new InputError(`--out ${folder}: is a file; name a new folder (nothing was written)`);
  }
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new InputError(`--out ${folder}: the folder is not empty; name a new one (nothing was written)`);
  }
  requireFolderAbove(folder);
}

/** Checks an output file before any work is done. @throws InputError where it is there already, is a folder, or lies under a file */
export function requireFreshFile(file: string): void {
  const found = isFolder(`--out ${file}`, file);
  if (found === true) {
    throw new InputError(`--out ${file}: is a folder; name a file in it (nothing was written)`);
  }
  if (found === false)
    throw new InputError(`--out ${file}: is there already; name a new file (nothing was written)`);
  requireFolderAbove(file);
}

/** Whether a path is a folder; undefined where there is nothing. */
function isFolder(place: string, path: string): boolean | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory();
  } catch (error) {
    throw new InputError(`${place}: ${fileProblem(error)}`);
  }
}

/** The nearest thing above a path that exists has to be a folder: what is missing between them is made. */
function requireFolderAbove(path: string): void {
  for (let above = dirname(resolve(path)); ; above = dirname(above)) {
    const found = isFolder(`--out ${path}`, above);
    if (found === true) return;
    if (found === false)
      throw new InputError(`--out ${path}: ${above} is a file, so nothing can lie under it`);
  }
}
