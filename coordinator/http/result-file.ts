import { constants } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { ResultFile } from "./routes.ts";

export interface OpenedFile {
  /** The caller closes it. */
  readonly handle: FileHandle;
  readonly bytes: number;
}

/**
 * A file of a job below the folder of results; undefined where it is not there. One that is reached by way of a link, or is no plain file, is not there either: what lies
 * elsewhere on the machine is nobody's result.
 */
export async function openResultFile(
  root: string,
  { sweep, job, file }: { readonly sweep: string; readonly job: string; readonly file: ResultFile },
): Promise<OpenedFile | undefined> {
  let handle: FileHandle | undefined;
  try {
    const folder = join(await realpath(root), sweep, job);
    if ((await realpath(folder)) !== folder) return undefined;
    // Without O_NONBLOCK a pipe in the file's place would be waited for.
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    handle = await open(join(folder, file), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const known = await handle.stat();
    if (!known.isFile()) {
      await handle.close();
      return undefined;
    }
    return { handle, bytes: known.size };
  } catch (error) {
    await handle?.close();
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ENOTDIR", "ELOOP", "EISDIR", "ENXIO"].includes(code)) return undefined;
    throw error;
  }
}
