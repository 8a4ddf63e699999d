import type { DeviceClass, Hello } from "../../proto/messages.ts";
import { SUBJECT_TOKEN } from "../../proto/subjects.ts";

/** A class as one word: results of equal words are bit-equal on CPU. The program version is part of it. */
export function deviceClassName(deviceClass: DeviceClass, programVersion: string): string {
  const { provider, runtimeVersion, hardware, programForm } = deviceClass;
  return [provider, runtimeVersion, hardware, programForm, programVersion.slice(0, 16)].join("/");
}

const MAX_INCARNATION = 64;

/** Why a worker is refused, or undefined. `expectedProgram`: the version that this cluster runs, once that is known. */
export function refusalOf(hello: Hello, expectedProgram: string | undefined): string | undefined {
  const { workerId, programVersion, deviceClass } = hello;
  if (!SUBJECT_TOKEN.test(workerId)) {
    return `worker_id '${workerId.slice(0, 80)}': it must be 1 to 64 letters, digits, _ or -`;
  }
  if (hello.incarnation.length > MAX_INCARNATION)
    return `incarnation: it has more than ${MAX_INCARNATION} characters`;
  if (deviceClass === null || deviceClass.provider === "") return "device_class: it is missing";
  if (programVersion === "") return "program_version: it is missing";
  if (expectedProgram !== undefined && programVersion !== expectedProgram) {
    const [theirs, ours] = [programVersion, expectedProgram].map((version) => version.slice(0, 16));
    return `program_version ${theirs}: this cluster runs ${ours}; install the same elibad on every machine`;
  }
  return undefined;
}
