// Compiles the TypeScript sources to dist/, where they are newer than the last build. Plain JavaScript: it runs before anything is built.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const dist = join(root, "dist");
const stamp = join(dist, ".built");

function newestSource(folder) {
  if (!existsSync(folder)) return 0;
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) newest = Math.max(newest, newestSource(path));
    else if (entry.name.endsWith(".ts")) newest = Math.max(newest, statSync(path).mtimeMs);
  }
  return newest;
}

/** Builds dist/ if a source is newer than it; does nothing in an installed package, which has no sources. Throws with the compiler's output. */
export function buildIfStale() {
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
  if (!existsSync(join(root, "tsconfig.build.json")) || !existsSync(compiler)) return;
  const sources = Math.max(
    ...["proto", "coordinator", "worker", "tests/support", "tests/bench", "tests/fuzz"].map((name) =>
      newestSource(join(root, name)),
    ),
    statSync(join(root, "tsconfig.build.json")).mtimeMs,
  );
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= sources) return;
  // Built aside and moved into place, so that two builds at once, or one that fails, leave a whole dist/ behind.
  const aside = join(root, `dist.${process.pid}.tmp`);
  const startedAt = new Date();
  const run = spawnSync(
    process.execPath,
    [compiler, "-p", join(root, "tsconfig.build.json"), "--outDir", aside],
    {
      encoding: "utf8",
    },
  );
  if (run.status !== 0) {
    rmSync(aside, { recursive: true, force: true });
    throw new Error(`the TypeScript build failed:\n${run.stdout}${run.stderr}`);
  }
  mkdirSync(aside, { recursive: true });
  const built = join(aside, ".built");
  writeFileSync(built, `${startedAt.toISOString()}\n`);
  utimesSync(built, startedAt, startedAt); // a source that changed during the build is newer than it
  const old = join(root, `dist.${process.pid}.old.tmp`);
  try {
    if (existsSync(dist)) renameSync(dist, old);
    renameSync(aside, dist);
  } catch {
    // Another build moved its own, equal output in first.
    rmSync(aside, { recursive: true, force: true });
  }
  rmSync(old, { recursive: true, force: true });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    buildIfStale();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
