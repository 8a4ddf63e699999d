import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import type { DeviceClass } from "../../proto/messages.ts";
import type { Provider } from "../device-names.ts";
import { runtimeVersion } from "../program-version.ts";
import { PROGRAM_FORM } from "../programs/version.ts";
import { gpuName } from "./gpu-name.ts";

/** What an engine computes with. */
export interface Device {
  readonly provider: Provider;
  readonly deviceClass: DeviceClass;
}

/** The device of a provider on this machine. Whether it can be used is another question: see `open-device.ts`. */
export function deviceOf(provider: Provider, programForm: string = PROGRAM_FORM): Device {
  const hardware =
    provider === "cpu" ? [process.arch, ...cpuFeatures()].join(" ") : gpuName(provider, process.env);
  // On CPU, within one class results are equal bit for bit.
  return { provider, deviceClass: { provider, runtimeVersion, hardware, programForm } };
}

/** Instruction sets by which onnxruntime's CPU kernels choose their arithmetic, as Linux spells them. */
const INSTRUCTION_SETS = ["avx", "fma", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"];

/**
 * On Linux the instruction sets that matter, and the size of the second-level cache, by which onnxruntime's fused attention cuts its sums;
 * elsewhere the processor's name, which implies them.
 */
function cpuFeatures(): string[] {
  const flags = new Set(/^flags\s*:\s*(.*)$/m.exec(textOf("/proc/cpuinfo"))?.[1]?.split(" "));
  const known = INSTRUCTION_SETS.filter((flag) => flags.has(flag));
  if (known.length === 0) return [cpus()[0]?.model.trim() ?? "unknown"];
  const cache = textOf("/sys/devices/system/cpu/cpu0/cache/index2/size").trim();
  return cache === "" ? known : [...known, `l2=${cache}`];
}

/** Empty on another operating system. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
