import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { arch, cpus } from "node:os";
import { basename, join } from "node:path";
import type { Provider } from "../device-names.ts";

/** Where the names of GPUs are read; tests put other places in. */
export interface GpuSources {
  /** Output of a command, or undefined where it cannot be run or fails. */
  readonly run: (command: string, args: readonly string[]) => string | undefined;
  /** Folder in which Linux lists graphics cards. */
  readonly cards: string;
}

const here: GpuSources = {
  run: (command, args) => {
    const { status, stdout } = spawnSync(command, args, { encoding: "utf8", timeout: 10_000 });
    return status === 0 ? stdout : undefined;
  },
  cards: "/sys/class/drm",
};

/**
 * Model and driver of the GPU, as far as they can be learnt: onnxruntime-node names neither. A process computes with the first GPU that
 * it sees. WebGPU on Linux takes the Vulkan driver that the loader's variables name, where they are set.
 */
export function gpuName(
  provider: Exclude<Provider, "cpu">,
  env: Readonly<Record<string, string | undefined>>,
  sources: GpuSources = here,
): string {
  const driver = provider === "webgpu" ? (env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES) : undefined;
  if (driver) return `Vulkan driver ${basename(driver, ".json")}`;
  return (
    nvidiaGpu(env, sources) ??
    (provider === "webgpu" ? pciCard(sources) : undefined) ??
    // Where the processor has the GPU in it, as Apple's, its name tells.
    `unknown GPU of ${arch()} ${cpus()[0]?.model.trim() ?? "processor"}`
  );
}

/** "NVIDIA H100 80GB HBM3, driver 550.54.15" */
function nvidiaGpu(
  env: Readonly<Record<string, string | undefined>>,
  { run }: GpuSources,
): string | undefined {
  const first = env.CUDA_VISIBLE_DEVICES?.split(",")[0]?.trim() || "0";
  const query = ["--query-gpu=name,driver_version", "--format=csv,noheader", `--id=${first}`];
  const [name, driver] = run("nvidia-smi", query)?.trim().split("\n")[0]?.split(/,\s*/) ?? [];
  return name && driver ? `${name}, driver ${driver}` : undefined;
}

/** "PCI 8086:46a6", the first of the graphics cards. */
function pciCard({ cards }: GpuSources): string | undefined {
  try {
    for (const card of readdirSync(cards).sort()) {
      if (!/^card\d+$/.test(card)) continue;
      const read = (name: string) =>
        readFileSync(join(cards, card, "device", name), "utf8")
          .trim()
          .replace(/^0x/, "");
      return `PCI ${read("vendor")}:${read("device")}`;
    }
  } catch {
    // No such folder, or a card that is not on a PCI bus.
  }
  return undefined;
}
