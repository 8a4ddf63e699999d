import { hostname } from "node:os";

const host = hostname().replaceAll(/[^\w-]/g, "_");

/** Names this process in the names of files that belong to it alone. */
export const ownerName = `${host}.${process.pid}`;

/** Whether the owner of such a file was a process of this machine and is no more. */
export function isAbandoned(owner: string): boolean {
  const [on, pid] = owner.split(".");
  return on === host && Number(pid) !== process.pid && !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
