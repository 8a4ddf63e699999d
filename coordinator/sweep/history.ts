import type { SweepBook } from "./book.ts";
import { isOfJob, type JobRecord, type SweepRecord } from "./records.ts";
import { type JobId, jobIdText } from "./sweep.ts";

/** Something that happened to a job. */
export interface HistoryLine {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly text: string;
}

/** Lines that are kept of a job. */
const MOST = 30;

/** What happened to jobs since this coordinator has their log; of steps the latest of each search. */
export class JobHistory {
  readonly #lines = new Map<string, Map<string, HistoryLine>>();
  readonly #now: () => number;

  constructor(book: Pick<SweepBook, "subscribe">, now: () => number) {
    this.#now = now;
    book.subscribe((records) => {
      for (const record of records) this.#note(record);
    });
  }

  /** Oldest first. */
  of(id: JobId): HistoryLine[] {
    return [...(this.#lines.get(jobIdText(id))?.values() ?? [])];
  }

  #note(record: SweepRecord): void {
    if (record.kind === "sweep-removed")
      for (const job of [...this.#lines.keys()])
        if (job.startsWith(`${record.sweep}/`)) this.#lines.delete(job);
    if (!isOfJob(record)) return;
    const job = jobIdText(record);
    const lines = this.#lines.get(job) ?? new Map<string, HistoryLine>();
    this.#lines.set(job, lines);
    const at = this.#now();
    // A step takes the place of the one before it.
    const key = record.kind === "step-committed" ? `search ${record.search}` : `${lines.size} ${at}`;
    lines.delete(key);
    lines.set(key, { at, text: textOf(record) });
    if (lines.size > MOST) lines.delete(lines.keys().next().value!);
  }
}

function textOf(record: JobRecord): string {
  switch (record.kind) {
    case "job-moved":
      return "reason" in record.event ? `${record.event.kind}: ${record.event.reason}` : record.event.kind;
    case "step-committed": {
      const { step, best } = record.step;
      return `search ${record.search}: step ${step} committed${best === null ? "" : `, best loss ${best.loss.toFixed(4)}`}`;
    }
    case "search-found":
      return `search ${record.result.search}: result after ${record.result.steps} steps`;
    case "results-checked":
      return "results that it is built on were computed a second time, and are right";
    case "tile-measured":
      return `tiles of ${record.tile.tile} tokens are the fastest on its device`;
  }
}
