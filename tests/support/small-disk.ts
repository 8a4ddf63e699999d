import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { onTestFinished, type TestContext } from "vitest";
import { tempFolder } from "./temp-folder.ts";

/** A folder on a disk of its own, which only processes that `enter` starts see there. It ends with the test. */
export interface SmallDisk {
  readonly folder: string;
  /** Words before a command that is to see it. */
  readonly enter: readonly string[];
  /** Where this process finds a file of the folder. SQLite would not: it follows links by their text. */
  seenFromHere(name: string): string;
}

declare module "vitest" {
  interface TaskMeta {
    /** Why a test cannot run on this machine, whoever runs it; CI names it and does not count it. */
    machineLacks?: string;
  }
}

/** A disk of so many MB, in a mount namespace of its own, which takes no root. Where Linux forbids that, the test is skipped. */
export async function smallDisk(megabytes: number, { task, skip }: TestContext): Promise<SmallDisk> {
  const folder = tempFolder();
  const script = `mount -t tmpfs -o size=${megabytes}m tmpfs "$0" && echo ready && exec sleep infinity`;
  const mounts = (namespace: readonly string[]) =>
    spawnSync("unshare", [...namespace, "mount", "-t", "tmpfs", "tmpfs", folder]).status === 0;
  // As root in a container one may be allowed and the other not.
  const namespace = [["--mount"], ["--mount", "--user", "--map-root-user"]].find(mounts);
  if (namespace === undefined) {
    task.meta.machineLacks = "mount namespaces for users (unshare --user --mount)";
    return skip(task.meta.machineLacks);
  }
  const holder: ChildProcess = spawn("unshare", [...namespace, "sh", "-c", script, folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => {
    holder.kill("SIGKILL");
  });
  await once(holder.stdout!, "data");
  const asUser = namespace.includes("--user") ? ["--user", "--preserve-credentials"] : [];
  return {
    folder,
    enter: ["nsenter", `--target=${holder.pid}`, "--mount", ...asUser, "--"],
    seenFromHere: (name) => join(`/proc/${holder.pid}/root`, folder, name),
  };
}
