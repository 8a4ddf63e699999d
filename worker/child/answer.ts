import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../../proto/canonical-json.ts";
import { OperationFailed } from "../../proto/operation-failed.ts";
import { encodeTensors } from "../../proto/tensors.ts";
import type { EngineResult } from "../runtime/engine.ts";
import type { Answer, ChildOptions, ChildOutcome, ResultFile } from "./messages.ts";

/** Room that names and shapes take in an encoded result, beside the numbers. */
const OVERHEAD_BYTES = 4096;

/** The answer to an operation that was done. Large tensors go into a file, so that the supervisor never holds them. */
export async function answerDone(
  ticket: number,
  { tensors, written = [], forwards, tokens, seconds }: EngineResult,
  { maxInlineBytes, resultFolder }: ChildOptions,
): Promise<Answer> {
  const bytes = Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
  const outcome: ChildOutcome =
    bytes + OVERHEAD_BYTES > maxInlineBytes
      ? { kind: "file", file: await writeResult(encodeTensors(tensors), join(resultFolder, String(ticket))) }
      : { kind: "tensors", tensors };
  return { ticket, outcome, artifacts: written, forwards, tokens, seconds };
}

/** The answer to an operation that gave an error. */
export function answerFailed(ticket: number, error: unknown): Answer {
  const message = error instanceof Error ? error.message : String(error);
  const outcome: ChildOutcome = { kind: "error", retryable: isRetryable(error), message };
  return { ticket, outcome, artifacts: [], forwards: 0, tokens: 0, seconds: 0 };
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

async function writeResult(bytes: Uint8Array, path: string): Promise<ResultFile> {
  await writeFile(path, bytes);
  return { path, digest: digestOf(bytes), bytes: bytes.byteLength };
}
