import { parseSweep } from "../../coordinator/cli/sweep-file.ts";
import { readYaml } from "../../coordinator/cli/yaml-file.ts";
import type { SweepSpec } from "../../coordinator/sweep/sweep.ts";

/** Reads a sweep file whose relative paths begin in the folder that this process runs in. */
export const readSweepFile = (file: string): SweepSpec => parseSweep(readYaml("", file), process.cwd());
