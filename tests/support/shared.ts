import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { packageRoot } from "../../proto/package-root.ts";

/** Folder with reference data and golden values, beside the checkout; a user's clone does not have it. */
export const sharedFolder = join(packageRoot, "..", "shared");

/** False in a user's clone: tests that need the folder then skip (`describe.skipIf(!hasShared)`), which CI counts as a failure where it is there. */
export const hasShared = existsSync(join(sharedFolder, "golden", "README.md"));

export const sharedPath = (...parts: string[]): string => join(sharedFolder, ...parts);

export function readSharedJson<T>(...parts: string[]): T {
  return JSON.parse(readFileSync(sharedPath(...parts), "utf8")) as T;
}

/** Rows of a JSONL file, gzipped or not. */
export function readSharedJsonl<T>(...parts: string[]): T[] {
  const bytes = readFileSync(sharedPath(...parts));
  const text = (parts.at(-1)?.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}
