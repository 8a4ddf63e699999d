import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DeviceClass } from "../../proto/messages.ts";
import type { DeviceName, Provider } from "../device-names.ts";
import { PROGRAM_FORM } from "../programs/version.ts";
import { type Device, deviceOf } from "./device.ts";
import { productSeconds } from "./product-speed.ts";
import { selfCheck } from "./self-check.ts";

/** A device that may be used. */
export interface OpenDevice extends Device {
  /** Operators of its programs that another provider computes: "Add on CPUExecutionProvider". */
  readonly elsewhere: readonly string[];
}

export interface OpenDeviceOptions {
  /** A folder in which the checks may write; they leave nothing there. */
  readonly folder: string;
  readonly threads: number;
  readonly log: (message: string) => void;
  /** What a check of this machine found before; a device of the same class is not checked again. */
  readonly found?: Pick<OpenDevice, "deviceClass" | "elsewhere">;
}

/** A device that was asked for and cannot be used; the message says why, and what can be done. */
export class DeviceError extends Error {
  override readonly name = "DeviceError";
}

/** Providers that `auto` tries before the CPU, best first. */
const GPUS = ["cuda", "webgpu"] as const satisfies readonly Provider[];

/**
 * Largest relative difference from the CPU. Float32 in another order of summation is off by 1e-5 at most (measured with WebGPU on a software
 * adapter, all architectures); operands rounded to 10 bits, as TF32 and half precision have them, are off by some 1e-4.
 */
const TOLERANCE = 5e-5;

/** What each provider needs on the machine. */
const needs: Readonly<Record<(typeof GPUS)[number], string>> = {
  cuda: "it needs onnxruntime's CUDA libraries (ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node), CUDA 12 and cuDNN 9, see docs/devices.md",
  webgpu: "it needs a GPU with a driver for Vulkan, Metal or Direct3D 12, see docs/devices.md",
};

/**
 * Opens the device of a name: a provider is checked against the CPU and refused where it is off; `auto` takes the first that passes and is
 * faster than the CPU, says in the log why others do not, and ends at the CPU, which needs no check in the primitive form.
 *
 * @throws DeviceError
 */
export async function openDevice(name: DeviceName, options: OpenDeviceOptions): Promise<OpenDevice> {
  if (name === "cpu") return { ...deviceOf("cpu"), elsewhere: [] };
  if (name !== "auto") return checkedDevice(name, options);
  for (const provider of GPUS) {
    try {
      await requireFaster(provider, options);
      return await checkedDevice(provider, options);
    } catch (error) {
      options.log(`--device auto: ${(error as Error).message}`);
    }
  }
  return openDevice("cpu", options);
}

/** By everything that is known of it: provider, runtime, hardware with its driver, form of programs. */
export const isSameDevice = (a: DeviceClass, b: DeviceClass): boolean =>
  a.provider === b.provider &&
  a.runtimeVersion === b.runtimeVersion &&
  a.hardware === b.hardware &&
  a.programForm === b.programForm;

async function checkedDevice(
  provider: (typeof GPUS)[number],
  { folder, threads, found }: OpenDeviceOptions,
): Promise<OpenDevice> {
  const device = deviceOf(provider);
  if (found && isSameDevice(device.deviceClass, found.deviceClass))
    return { ...device, elsewhere: found.elsewhere };
  try {
    const check = { provider, programForm: PROGRAM_FORM, tolerance: TOLERANCE, folder, threads };
    const { elsewhere } = await selfCheck(check);
    return { ...device, elsewhere };
  } catch (error) {
    throw refusal(provider, error as Error);
  }
}

/** A software adapter computes rightly, and slower than the CPU does by itself. */
async function requireFaster(
  provider: (typeof GPUS)[number],
  { folder, threads }: OpenDeviceOptions,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const own = await mkdtemp(join(folder, "speed-"));
  try {
    const theirs = await productSeconds(provider, { folder: own, threads }).catch((error: Error) => {
      throw refusal(provider, error);
    });
    const cpu = await productSeconds("cpu", { folder: own, threads });
    if (theirs < cpu) return;
    const ms = (seconds: number) => `${(seconds * 1000).toFixed(1)} ms`;
    throw new DeviceError(
      `device ${provider}: it is no faster than the CPU here (${ms(theirs)} against ${ms(cpu)} for a matrix product)`,
    );
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

function refusal(provider: (typeof GPUS)[number], cause: Error): DeviceError {
  // Paths of programs that are removed by now say nothing.
  const reason = cause.message.replace(/^onnxruntime does not load \S+: /, "onnxruntime says: ");
  // What was loaded and computes wrongly lacks no library.
  const loads = /^onnxruntime does not load /.test(cause.message);
  const hint = loads ? `; ${needs[provider]}` : "";
  return new DeviceError(`device ${provider}: ${reason.trim()}${hint}`, { cause });
}
