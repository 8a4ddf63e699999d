import { isShortName, MAX_CACHED_CHECKPOINTS, MAX_NAME_CHARACTERS } from "../../proto/message-bounds.ts";
import type { DeviceClass, Hello } from "../../proto/messages.ts";
import { isDigest } from "../../proto/result-envelope.ts";
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
  return claimProblem(hello);
}

/** More than any machine has: 1 PiB, and as many threads as an option takes. */
const MAX_MEMORY_BYTES = 2 ** 50;
const MAX_THREADS = 1024;
/** More than there are operators, and forms of programs. */
const MAX_OPERATORS = 1_000;
const MAX_FORMS = 16;

/** What a worker says of itself and cannot be; it would stand in logs and metrics, and be counted on. */
function claimProblem(hello: Hello): string | undefined {
  const { deviceClass, programVersion, memoryBytes, threads } = hello;
  const { cachedCheckpoints, operatorsElsewhere, programForms } = hello;
  const short = `at most ${MAX_NAME_CHARACTERS} printable characters`;
  for (const [field, text] of Object.entries({ ...deviceClass }))
    if (typeof text === "string" && !isShortName(text)) return `device_class.${field}: it must be ${short}`;
  if (!isShortName(programVersion)) return `program_version: it must be ${short}`;
  if (!(memoryBytes <= MAX_MEMORY_BYTES))
    return `memory_bytes ${memoryBytes}: no machine has more than ${MAX_MEMORY_BYTES}`;
  if (!(threads <= MAX_THREADS)) return `threads ${threads}: at most ${MAX_THREADS}`;
  if (cachedCheckpoints.length > MAX_CACHED_CHECKPOINTS)
    return `cached_checkpoints: ${cachedCheckpoints.length}, at most ${MAX_CACHED_CHECKPOINTS}`;
  const odd = cachedCheckpoints.find((digest) => !isDigest(digest));
  if (odd !== undefined) return `cached_checkpoints: '${odd.slice(0, 80)}' is no sha256 digest`;
  if (operatorsElsewhere.length > MAX_OPERATORS || !operatorsElsewhere.every(isShortName))
    return `operators_elsewhere: at most ${MAX_OPERATORS}, each of ${short}`;
  if (programForms.length > MAX_FORMS || !programForms.every(isShortName))
    return `program_forms: at most ${MAX_FORMS}, each of ${short}`;
  return undefined;
}
