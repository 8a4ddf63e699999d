import { totalmem } from "node:os";

/** Bytes of memory that this process may use: what its container leaves to it, or what the machine has. */
export function memoryLimit(): number {
  const limit = process.constrainedMemory() ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
