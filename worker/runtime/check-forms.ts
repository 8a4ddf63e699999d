import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson } from "../../proto/canonical-json.ts";
import type { ProgramForm, ScoreOperation, Tensor } from "../../proto/operations.ts";
import type { FormName } from "../form-names.ts";
import { CHECK_MODELS, CHECK_TASK, CHECK_VOCABULARY, writeCheckModel } from "./check-model.ts";
import { type Device, deviceOf } from "./device.ts";
import { createLocalExecutor, type LocalExecutor } from "./local-executor.ts";
import { putCheckpoint } from "./put-checkpoint.ts";

export interface FormCheckOptions {
  /** A folder in which the checks may write; they leave nothing there. */
  readonly folder: string;
  readonly threads: number;
  readonly log: (message: string) => void;
  /** Absent: the CPU. */
  readonly device?: Device;
  /** Largest max|a − b| ÷ max|b| of a model's logits that is accepted. */
  readonly tolerance?: number;
}

/** A form that was asked for and is not right on the device; the message has the numbers. */
export class FormError extends Error {
  override readonly name = "FormError";
}

/** Forms differ by about 1e-6; a wrong operator by far more. */
const TOLERANCE = 2e-5;

/**
 * The forms of programs that a worker may be given, the primitive one always among them. Any other is compared with it on this device, by the
 * logits of small built-in models: `auto` leaves out what is off, and says so in the log.
 *
 * @throws FormError where a form that was asked for by name is off
 */
export async function rightForms(asked: FormName, options: FormCheckOptions): Promise<ProgramForm[]> {
  if (asked === "primitive") return ["primitive"];
  const reason = await wrongIn("fused", options).catch((error: Error) => error.message);
  if (reason === undefined) return ["primitive", "fused"];
  const message = `programs in the fused form are not right here: ${reason}`;
  if (asked === "fused") throw new FormError(message);
  options.log(message);
  return ["primitive"];
}

/** What is off in a form, or undefined. */
async function wrongIn(
  form: "fused",
  { folder, threads, device = deviceOf("cpu"), tolerance = TOLERANCE }: FormCheckOptions,
): Promise<string | undefined> {
  await mkdir(folder, { recursive: true });
  const own = await mkdtemp(join(folder, "form-check-"));
  const executor = await createLocalExecutor({ folder: join(own, "executor"), threads, device });
  try {
    for (const model of CHECK_MODELS) {
      await writeCheckModel(model, join(own, model));
      const checkpoint = await putCheckpoint(executor, join(own, model), CHECK_TASK);
      const plain = await checkTile(executor, checkpoint);
      const [expected, found] = await executor.execute([plain, { ...plain, form }]);
      const off = relativeDifference(found!.tensors.logits!, expected!.tensors.logits!);
      if (!(off <= tolerance)) {
        return `logits of a ${model} model are off by ${off.toExponential(1)} from those of the primitive form, relative to the largest; ${tolerance} is accepted`;
      }
    }
    return undefined;
  } finally {
    await executor.close();
    await rm(own, { recursive: true, force: true });
  }
}

/** Three triggers in a row of sixteen tokens. */
async function checkTile(executor: LocalExecutor, checkpoint: string): Promise<ScoreOperation> {
  const words = (count: number, from: number) =>
    Array.from({ length: count }, (_, k) => 4 + ((from + 7 * k) % (CHECK_VOCABULARY - 4)));
  const set = { rows: [[...words(15, 1), 2]], insertIndexes: [3], maxLen: 32, endId: 2 };
  const samples = await executor.putArtifact(Buffer.from(canonicalJson(set)));
  const triggers = [9, 30, 51].map((from) => words(3, from));
  return { kind: "score", checkpoint, samples, sample: 0, triggers };
}

function relativeDifference(found: Tensor, expected: Tensor): number {
  let [apart, largest] = [0, 0];
  for (const [at, value] of expected.data.entries()) {
    apart = Math.max(apart, Math.abs(found.data[at]! - value));
    largest = Math.max(largest, Math.abs(value));
  }
  return apart / largest;
}
