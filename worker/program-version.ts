import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative, sep } from "node:path";
import { packageRoot, packageVersion } from "../proto/package-root.ts";

/** Rooms of the worker whose code decides which bits a result has. */
const PROGRAM_ROOMS = ["graph", "models", "checkpoint", "programs", "training", "runtime"];

/** Version of the onnxruntime that is installed. */
export const runtimeVersion: string = (
  createRequire(import.meta.url)("onnxruntime-node/package.json") as { version: string }
).version;

let version: string | undefined;

/**
 * sha256 over elibad's version, onnxruntime's, and the compiled code of the program builders (`dist/worker`, so that a
 * coordinator which runs from other files names the same one): workers of another program version are refused.
 */
export function programVersion(): string {
  if (version !== undefined) return version;
  const hash = createHash("sha256").update(`elibad ${packageVersion} onnxruntime ${runtimeVersion}\n`);
  const worker = join(packageRoot, "dist", "worker");
  const files = PROGRAM_ROOMS.flatMap((room) => scripts(join(worker, room)));
  for (const file of files.map((path) => relative(worker, path).split(sep).join("/")).sort()) {
    hash.update(`${file}\n`).update(readFileSync(join(worker, file)));
  }
  version = hash.digest("hex");
  return version;
}

function scripts(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return scripts(path);
    return entry.name.endsWith(".js") ? [path] : [];
  });
}
