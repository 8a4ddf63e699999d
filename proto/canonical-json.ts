import { createHash } from "node:crypto";
import type { Digest } from "./operations.ts";

/** JSON with object keys in ascending order and no blanks, so that equal values have equal bytes. Typed arrays become plain arrays. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(ordered(value));
}

function ordered(value: unknown): unknown {
  if (value === null || typeof value !== "object") return value;
  if (ArrayBuffer.isView(value)) return Array.from(value as Float32Array);
  // Lists of numbers are most of an operation; they need no walk.
  if (Array.isArray(value)) return value.every(isPlain) ? value : value.map(ordered);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Object.fromEntries(entries.map(([key, inner]) => [key, ordered(inner)]));
}

/** Whether JSON is canonical as it stands: a number or string, or a list that begins with one, as all lists of one kind do. */
const isPlain = (value: unknown): boolean =>
  typeof value !== "object" || (Array.isArray(value) && typeof value[0] !== "object");

/** Digest of bytes, or of a string's UTF-8 bytes. */
export function digestOf(bytes: Uint8Array | string): Digest {
  return createHash("sha256").update(bytes).digest("hex");
}
