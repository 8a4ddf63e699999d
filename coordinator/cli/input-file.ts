import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { InputError } from "./errors.ts";

/** What a file system error means to a user: `no such file`, `is a folder`, else the system's own words. */
export function fileProblem(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return "no such file";
  if (code === "EISDIR") return "is a folder, expected a file";
  if (code === "ENOTDIR") return "lies under a file, which is no folder";
  if (code === "EACCES" || code === "EPERM") return "may not be read or written by this user";
  return message;
}

/** Node makes no longer strings. */
const LONGEST = 2 ** 29 - 2 ** 16;

/** Text of a file that an option names, relative to a folder. @throws InputError naming option and file; with `maxBytes` for what has no size, too */
export function readInputFile(place: string, file: string, folder = "", maxBytes?: number): string {
  try {
    const path = resolve(folder, file);
    const found = statSync(path);
    // One like /dev/zero has no end.
    if (found.isCharacterDevice()) throw new Error("is a device, expected a file");
    if (maxBytes !== undefined && found.isFIFO()) throw new Error("is a pipe, expected a file");
    const most = maxBytes ?? LONGEST;
    if (found.size > most) throw new Error(`has ${found.size} bytes, at most ${most} are read`);
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new InputError(`${place}${file}: ${fileProblem(error)}`);
  }
}
