import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isAbandoned, ownerName } from "../cache/owner.ts";

/** A new folder for the result files of one worker; those of processes that are gone are removed. */
export async function makeResultFolder(parent: string, workerId: string): Promise<string> {
  await mkdir(parent, { recursive: true });
  for (const name of await readdir(parent)) {
    if (isAbandoned(name)) await rm(join(parent, name), { recursive: true, force: true });
  }
  const own = join(parent, `${ownerName}.${workerId}`);
  await mkdir(own, { recursive: true });
  return own;
}

/** Removes a result's file or folder. What cannot be removed is in nobody's way: the next worker tries again. */
export async function removeResult(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(() => {});
}
