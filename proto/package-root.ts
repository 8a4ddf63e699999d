import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function findRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const manifest = join(folder, "package.json");
    if (existsSync(manifest)) return folder;
    if (dirname(folder) === folder) throw new Error("elibad's package.json was not found above its own code");
  }
}

/** Folder that holds elibad's package.json, both in a checkout (sources beside `dist/`) and in an installed package. */
export const packageRoot = findRoot();

/** elibad's own version, as its package.json says. */
export const packageVersion: string = (
  JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string }
).version;
