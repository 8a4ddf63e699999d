import { status } from "@grpc/grpc-js";
import type { SweepBook } from "../sweep/book.ts";
import { CallError } from "./calls.ts";

/** How long a call waits until what it asks for is in the log. */
export const CHANGE_MS = 10_000;

/**
 * The answer of a change, or after `waitMs` an error that says why there is none: a full disk is waited for by the log, which writes the change then, since
 * others may have been decided on it. Who asks for the same again is told what became of it.
 *
 * @throws CallError with DEADLINE_EXCEEDED, which is said of what may be done later
 */
export async function withinTime<T>(
  change: Promise<T>,
  book: Pick<SweepBook, "waiting">,
  waitMs = CHANGE_MS,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const reason = book.waiting ?? "the sweeps' log does not answer";
      const rest = "it is tried again and may be done later: ask for the same again";
      reject(
        new CallError(status.DEADLINE_EXCEEDED, `not done within ${waitMs / 1_000} s: ${reason}; ${rest}`),
      );
    }, waitMs);
  });
  try {
    return await Promise.race([change, late]);
  } finally {
    clearTimeout(timer);
  }
}
