import { spawnSync } from "node:child_process";
import { onTestFinished } from "vitest";
import { tempFolder } from "./temp-folder.ts";

/** A folder on a disk of its own of so many MB; undefined where none can be mounted, which takes root on Linux. */
export function smallDisk(megabytes: number): string | undefined {
  const folder = tempFolder();
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", folder]);
  if (mounted.status !== 0) return undefined;
  // Lazily, since whatever still has a file open there must not keep the test from ending.
  onTestFinished(() => {
    spawnSync("umount", ["-l", folder]);
  });
  return folder;
}
