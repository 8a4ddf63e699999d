import { setTimeout as sleep } from "node:timers/promises";
import type { JobRowMessage, SweepChangeMessage } from "../../proto/sweep-messages.ts";
import type { SweepBook } from "../sweep/book.ts";
import { isLive } from "../sweep/job-state.ts";
import { requireSweep } from "../sweep/sweep.ts";
import { jobRows, someJobRows, sweepRow } from "../sweep/views.ts";
import { portions } from "./portions.ts";

/** Changes that come within it are told together. */
const TOGETHER_MS = 200;

/**
 * The jobs of a sweep as they are, then those that change, until none is left to be worked on, or a signal fires. However slow the reader is, what it
 * did not hear of yet are names of jobs.
 *
 * @throws UnknownNameError
 */
export async function* watchSweep(
  book: SweepBook,
  { sweep: name, once }: { readonly sweep: string; readonly once: boolean },
  signal: AbortSignal,
): AsyncGenerator<SweepChangeMessage> {
  const changed = new Set<string>();
  let wake = () => {};
  const unsubscribe = book.subscribe((records) => {
    for (const record of records) {
      if (!("job" in record) || record.sweep !== name) continue;
      changed.add(record.job);
    }
    if (changed.size > 0) wake();
  });
  const onAbort = () => wake();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    yield* changesOf(book, name, jobRows(requireSweep(book.state, name)));
    while (!once && !signal.aborted) {
      if (changed.size === 0) {
        if (!requireSweep(book.state, name).jobs.some(({ state }) => isLive(state))) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        await sleep(TOGETHER_MS, undefined, { signal }).catch(() => undefined);
        continue;
      }
      const rows = someJobRows(requireSweep(book.state, name), changed);
      changed.clear();
      yield* changesOf(book, name, rows);
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", onAbort);
  }
}

function* changesOf(
  book: SweepBook,
  name: string,
  rows: readonly JobRowMessage[],
): Generator<SweepChangeMessage> {
  const all = portions(rows, rowBytes);
  for (const [k, jobs] of all.entries())
    yield { sweep: sweepRow(requireSweep(book.state, name)), jobs, isCurrent: k === all.length - 1 };
}

/** At most, about. */
export const rowBytes = ({ name, model, reason, best }: JobRowMessage): number =>
  100 + 3 * (name.length + model.length + reason.length) + 5 * (best?.ids.length ?? 0);
