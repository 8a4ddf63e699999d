import { statSync } from "node:fs";
import { isRemote } from "../sources/source.ts";
import { jobOptions, type SweepSpec } from "../sweep/sweep.ts";
import { InputError } from "./errors.ts";
import { fileProblem } from "./input-file.ts";
import { wantedOf } from "./local-sources.ts";
import { configKeyOf } from "./options.ts";
import { isPathOption } from "./sweep-settings.ts";
import type { YamlFile } from "./yaml-file.ts";

/**
 * Finds out before a sweep begins that what its jobs have in common, as samples, is not on this machine: each of them would fail of it.
 *
 * @throws InputError naming file, key and path, and the line where it is not an override's
 */
export function requirePaths({ file, document, lineOf }: YamlFile, spec: SweepSpec): void {
  const checked = new Set<string>();
  for (const job of spec.jobs) {
    for (const [name, path] of Object.entries(jobOptions(spec, job))) {
      if (typeof path !== "string" || !isPathOption(name) || isRemote(path)) continue;
      if (checked.has(`${name} ${path}`)) continue;
      checked.add(`${name} ${path}`);
      const problem = problemOf(path, wantedOf(name) !== "file");
      if (problem === undefined) continue;
      const key = configKeyOf(name);
      const at = document.has(key) ? [key] : ["settings", key];
      const place = job.options[name] === undefined ? ` line ${lineOf(at)}` : `: overrides of ${job.name}`;
      throw new InputError(`${file}${place}: ${key} ${path}: ${problem}`);
    }
  }
}

function problemOf(path: string, isFolder: boolean): string | undefined {
  try {
    const found = statSync(path);
    if (isFolder) return found.isDirectory() ? undefined : "is a file, expected a folder";
    if (found.isDirectory()) return "is a folder, expected a file";
    // Whoever reads a pipe waits until somebody writes, and the coordinator with it.
    return found.isFile() ? undefined : "is a pipe or device, expected a file";
  } catch (error) {
    const problem = fileProblem(error);
    return isFolder && problem === "no such file" ? "no such folder" : problem;
  }
}
