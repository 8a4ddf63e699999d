import { readdir, rename } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { isAlive } from "../../proto/is-alive.ts";

const host = hostname().replaceAll(/[^\w-]/g, "_");

/** Names this process in the names of files that belong to it alone. */
export const ownerName = `${host}.${process.pid}`;

/** Whether the owner of such a file was a process of this machine and is no more. */
export function isAbandoned(owner: string): boolean {
  const [on, pid] = owner.split(".");
  return on === host && Number(pid) !== process.pid && !isAlive(Number(pid));
}

/** The file in which this process alone collects what will be `name`, taken over from a process of this machine that is gone. */
export async function ownPartial(folder: string, name: string): Promise<string> {
  const own = join(folder, `${name}.${ownerName}`);
  for (const other of await readdir(folder)) {
    if (!other.startsWith(`${name}.`) || !isAbandoned(other.slice(name.length + 1))) continue;
    await rename(join(folder, other), own).catch(() => {}); // another process may have taken it first
  }
  return own;
}
