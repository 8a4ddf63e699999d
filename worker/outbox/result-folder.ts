import { readdirSync, rmSync } from "node:fs";
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

/** Removes what an inference child that is gone left behind, all but the files that still wait to be sent. At once, before the next child writes. */
export function clearResultFolder(folder: string, waiting: Iterable<string>): void {
  const kept = new Set(waiting);
  try {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (!kept.has(path)) rmSync(path, { recursive: true, force: true });
    }
  } catch {
    // It is in nobody's way, as below.
  }
}

/** Removes a result's file or folder. What cannot be removed is in nobody's way: the next worker tries again. */
export async function removeResult(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(() => {});
}
