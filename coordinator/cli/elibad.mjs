#!/usr/bin/env node
// The `elibad` command. In a checkout it compiles the sources first, if they changed; in an installed package dist/ is there.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
if (existsSync(join(root, "tsconfig.build.json"))) {
  const { buildIfStale } = await import("./build.mjs");
  try {
    buildIfStale();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
await import(pathToFileURL(join(root, "dist", "coordinator", "cli", "main.js")).href);
