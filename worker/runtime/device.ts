import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import type { DeviceClass } from "../../proto/messages.ts";
import { runtimeVersion } from "../program-version.ts";
import { PROGRAM_FORM } from "../programs/version.ts";

/** Instruction sets by which onnxruntime's CPU kernels choose their arithmetic, as Linux spells them. */
const INSTRUCTION_SETS = ["avx", "fma", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"];

/** The device that computes: within one class results on CPU are equal bit for bit. */
export function cpuDeviceClass(): DeviceClass {
  return {
    provider: "cpu",
    runtimeVersion: runtimeVersion,
    hardware: [process.arch, ...cpuFeatures()].join(" "),
    programForm: PROGRAM_FORM,
  };
}

/** On Linux the instruction sets that matter; elsewhere the processor's name, which implies them. */
function cpuFeatures(): string[] {
  let text = "";
  try {
    text = readFileSync("/proc/cpuinfo", "utf8");
  } catch {
    // Another operating system.
  }
  const flags = new Set(/^flags\s*:\s*(.*)$/m.exec(text)?.[1]?.split(" "));
  const known = INSTRUCTION_SETS.filter((flag) => flags.has(flag));
  return known.length > 0 ? known : [cpus()[0]?.model.trim() ?? "unknown"];
}
