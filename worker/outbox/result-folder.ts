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
