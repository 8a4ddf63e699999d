import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../proto/package-root.ts";

/** Vitest's global set-up: tests that start real processes start the compiled program. */
export default function buildOnce(): void {
  const run = spawnSync(process.execPath, [join(packageRoot, "coordinator/cli/build.mjs")], {
    encoding: "utf8",
  });
  if (run.status !== 0) throw new Error(run.stderr || "the build failed");
}
