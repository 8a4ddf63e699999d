import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../../proto/canonical-json.ts";
import type { DeviceClass } from "../../proto/messages.ts";
import { OperationFailed } from "../../proto/operation-failed.ts";
import type { Digest, OperationResult } from "../../proto/operations.ts";
import {
  encodeResultEnvelope,
  MAX_INLINE_RESULT_BYTES,
  type ResultOutcome,
} from "../../proto/result-envelope.ts";
import { encodeTensors } from "../../proto/tensors.ts";
import type { ChildOptions, FromChild, ResultFile } from "./messages.ts";

type Finished = Extract<FromChild, { kind: "finished" }>;

/** What every answer of this child says about itself. */
export interface Answerer {
  readonly options: ChildOptions;
  readonly deviceClass: DeviceClass;
}

/** Room that names and shapes take in an encoded result, beside the numbers. */
const OVERHEAD_BYTES = 4096;

/** The answer to an operation that was done. Large tensors go into a file, so that the supervisor never holds them. */
export async function answerDone(
  ticket: number,
  fingerprint: Digest,
  result: OperationResult,
  by: Answerer,
): Promise<Finished> {
  const { tensors, forwards, tokens, seconds } = result;
  const bytes = Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
  const file =
    bytes + OVERHEAD_BYTES > MAX_INLINE_RESULT_BYTES
      ? await writeResult(encodeTensors(tensors), join(by.options.resultFolder, String(ticket)))
      : undefined;
  const outcome: ResultOutcome = file
    ? { kind: "artifact", digest: file.digest }
    : { kind: "tensors", tensors };
  return {
    kind: "finished",
    ticket,
    envelope: envelope(fingerprint, outcome, { forwards, tokens, seconds }, by),
    ...(file ? { file } : {}),
    outcome: "done",
    forwards,
    tokens,
    seconds,
    rssBytes: process.memoryUsage.rss(),
  };
}

/** The answer to an operation that gave an error. */
export function answerFailed(ticket: number, fingerprint: Digest, error: unknown, by: Answerer): Finished {
  const message = error instanceof Error ? error.message : String(error);
  const retryable = isRetryable(error);
  const done = { forwards: 0, tokens: 0, seconds: 0 };
  return {
    kind: "finished",
    ticket,
    envelope: envelope(fingerprint, { kind: "error", retryable, message }, done, by),
    outcome: retryable ? "retryable" : "failed",
    ...done,
    rssBytes: process.memoryUsage.rss(),
  };
}

/** Whether the same operation may succeed elsewhere or later: the machine's fault, not the operation's. */
export function isRetryable(error: unknown): boolean {
  if (error instanceof OperationFailed) return error.retryable;
  const { code, message } = error as NodeJS.ErrnoException;
  if (["ENOENT", "ENOSPC", "EDQUOT", "ENOMEM", "EMFILE", "EIO"].includes(code ?? "")) return true;
  // What onnxruntime, V8 and the C++ library say when memory is short.
  return /bad_alloc|bad allocation|out of memory|failed to allocate|array buffer allocation/i.test(
    message ?? "",
  );
}

function envelope(
  fingerprint: Digest,
  outcome: ResultOutcome,
  done: { readonly forwards: number; readonly tokens: number; readonly seconds: number },
  { options, deviceClass }: Answerer,
): Buffer {
  const { workerId, programVersion } = options;
  return encodeResultEnvelope({ fingerprint, workerId, deviceClass, programVersion, outcome, ...done });
}

async function writeResult(bytes: Uint8Array, path: string): Promise<ResultFile> {
  await writeFile(path, bytes);
  return { path, digest: digestOf(bytes), bytes: bytes.byteLength };
}
