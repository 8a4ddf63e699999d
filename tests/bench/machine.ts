import { availableParallelism, cpus, loadavg, platform, release, totalmem } from "node:os";
import { packageVersion } from "../../proto/package-root.ts";
import { runtimeVersion } from "../../worker/program-version.ts";

/** Where and with what a run was made; nothing that names the machine itself. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly onnxruntime: string;
  readonly elibad: string;
}

export const thisMachine = (): Machine => ({
  cpu: cpus()[0]?.model.trim() || process.arch,
  cores: availableParallelism(),
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  system: `${platform()} ${release().split("-")[0]}`,
  node: process.versions.node,
  onnxruntime: runtimeVersion,
  elibad: packageVersion,
});

/** Processes that wanted to run over the last minute; 0 where the system does not say. */
export const load = (): number => loadavg()[0] ?? 0;
