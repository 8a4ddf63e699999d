import type { ExplanationMessage } from "../../proto/sweep-messages.ts";
import type { ScopeView } from "../dispatch/scope-view.ts";
import type { SweepBook } from "../sweep/book.ts";
import type { JobHistory } from "../sweep/history.ts";
import { isActive } from "../sweep/job-state.ts";
import { type Job, type JobId, requireJob, requireSweep } from "../sweep/sweep.ts";
import { someJobRows } from "../sweep/views.ts";
import { whyQueued } from "../sweep/waiting.ts";

/** What an explanation is made from. */
export interface ExplainParts {
  readonly book: Pick<SweepBook, "state" | "waiting">;
  readonly history: JobHistory;
  /** Jobs at a time. */
  readonly limit: number;
  /** How a job's operations stand; undefined where it has none yet. */
  viewOf(id: JobId): ScopeView | undefined;
  readonly now: () => number;
}

/** Where a job stands and why it is not further. @throws UnknownNameError */
export function explainJob(id: JobId, parts: ExplainParts): ExplanationMessage {
  const { book, history, now } = parts;
  const job = requireJob(book.state, id);
  const [row] = someJobRows(requireSweep(book.state, id.sweep), new Set([id.job]));
  const view = isActive(job.state) ? parts.viewOf(id) : undefined;
  const reissues = view?.reissues ?? [];
  const lines = [
    ...history.of(id),
    ...reissues.map(({ kind, fingerprint, why, agoMs }) => ({
      at: now() - agoMs,
      text: `${kind} ${fingerprint.slice(0, 12)} was given out again: ${why}`,
    })),
  ];
  return {
    job: row!,
    reasons: reasonsFor(id, job, view, parts),
    history: lines.sort((a, b) => a.at - b.at).map(({ at, text }) => ({ at: Math.round(at), text })),
    deviceClass: view?.deviceClass ?? job.deviceClass ?? "",
    waitingOperations: view?.waiting ?? 0,
    leases: (view?.leases ?? []).map((lease) => ({
      ...lease,
      ageMs: Math.round(lease.ageMs),
      reissued: reissues.filter(({ fingerprint }) => fingerprint === lease.fingerprint).map(({ why }) => why),
    })),
    workers: (view?.workers ?? []).map(({ unfit = "", slowness = 0, tokensPerSecond = 0, ...worker }) => ({
      ...worker,
      unfitBecause: unfit,
      slowness,
      tokensPerSecond,
    })),
  };
}

function reasonsFor(
  id: JobId,
  { state }: Job,
  view: ScopeView | undefined,
  { book, limit }: ExplainParts,
): string[] {
  const disk = book.waiting === undefined ? [] : [`nothing can be committed now: ${book.waiting}`];
  if (state.phase === "queued") return [...disk, ...whyQueued(book.state, id, limit)];
  if (!isActive(state)) return [];
  if (view === undefined) return [...disk, "it is reading its model and samples"];
  if (view.waitingReason !== undefined) return [...disk, `it waits: ${view.waitingReason}`];
  if (view.waiting > 0 && view.leases.length === 0)
    return [...disk, "it waits: every worker that it can run on is busy with other jobs"];
  if (view.waiting + view.leases.length === 0)
    return [...disk, "it computes on the coordinator, or writes files: nothing is out on workers"];
  return disk;
}
