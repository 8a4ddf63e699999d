import type { Digest } from "../../proto/operations.ts";

export interface CacheEntry {
  readonly digest: Digest;
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly usedAt: number;
}

/**
 * Which artifacts to remove so that the rest fits `maxBytes`: least recently used first.
 *
 * Never one that an operation of this worker holds (`held`), nor one used within `graceMs`: other workers on this machine may
 * share the folder, and each of them renews the time of what it uses. So the bound can be exceeded for a while.
 */
export function chooseEvictions(
  entries: Iterable<CacheEntry>,
  limits: {
    readonly maxBytes: number;
    readonly held: (digest: Digest) => boolean;
    readonly now: number;
    readonly graceMs: number;
  },
): CacheEntry[] {
  const all = [...entries];
  let excess = all.reduce((sum, entry) => sum + entry.bytes, 0) - limits.maxBytes;
  const evictions: CacheEntry[] = [];
  for (const entry of all.sort((a, b) => a.usedAt - b.usedAt)) {
    if (excess <= 0) break;
    if (limits.held(entry.digest) || limits.now - entry.usedAt < limits.graceMs) continue;
    evictions.push(entry);
    excess -= entry.bytes;
  }
  return evictions;
}
