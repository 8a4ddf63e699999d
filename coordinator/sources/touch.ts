import { stat, utimes } from "node:fs/promises";

/**
 * Notes that a file is used now, in its time of last access: that of its last change says whether it is still the same, to whoever has its digest.
 *
 * @returns its size; undefined where it is not there
 */
export async function touch(path: string): Promise<number | undefined> {
  try {
    const { size, mtimeMs } = await stat(path);
    // To a millisecond, so that the same value is set every time.
    await utimes(path, new Date(), new Date(Math.round(mtimeMs)));
    return size;
  } catch {
    return undefined;
  }
}
