import { createHash } from "node:crypto";
import type { Digest } from "./operations.ts";

/** JSON with object keys in ascending order and no blanks, so that equal values have equal bytes. Typed arrays become plain arrays. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (ArrayBuffer.isView(inner) && !(inner instanceof DataView)) return Array.from(inner as Float32Array);
    if (inner === null || typeof inner !== "object" || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}

/** Digest of bytes, or of a string's UTF-8 bytes. */
export function digestOf(bytes: Uint8Array | string): Digest {
  return createHash("sha256").update(bytes).digest("hex");
}
