// What the installers of servers have in common. Plain JavaScript: `npm test` calls them before anything is built.
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Where servers are kept for the user's next run. */
export const cacheFolder = () =>
  join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "elibad", "bin");

/** An executable's path: from PATH, the user's cache or, last, other folders; else undefined. */
export function findExecutable(name, otherFolders = []) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), cacheFolder(), ...otherFolders];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** Runs a command to its end. Throws with the last line that it wrote to stderr where it fails. */
export function run(command, args, options) {
  const done = spawnSync(command, args, { encoding: "utf8", ...options });
  if (done.error) throw new Error(`${command}: ${done.error.message}`);
  if (done.status !== 0)
    throw new Error(`${command} ended with ${done.status}: ${done.stderr.trim().split("\n").at(-1)}`);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
