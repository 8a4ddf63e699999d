import { canonicalJson, digestOf } from "../../proto/canonical-json.ts";
import type { SweepBook } from "./book.ts";
import { withoutOpenChecks } from "./distrust.ts";
import { committedSearches, IllegalRecordError } from "./fold.ts";
import { isLive, type JobEvent } from "./job-state.ts";
import type { JobWork, OpenJob, Provenance, ScanCommits } from "./job-work.ts";
import { nextJobs } from "./next-jobs.ts";
import type { Computed, SweepRecord } from "./records.ts";
import { findJob, findSweep, type JobId, jobIdText, jobOptions } from "./sweep.ts";
import { LogLostError } from "./sweep-log.ts";

type Since = ReturnType<Provenance["uncheckedSince"]>;

export interface RunnerOptions {
  readonly book: SweepBook;
  readonly open: OpenJob;
  /** Jobs at a time, of all sweeps together. */
  readonly limit: number;
  /** An error as a person reads it. */
  readonly reasonOf: (error: unknown) => string;
}

interface Running {
  readonly id: JobId;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
  work: JobWork | undefined;
  /** What waits for the log to hear which results were checked. */
  readonly clearing: Set<Promise<void>>;
}

/**
 * Works on the jobs of all sweeps: from queued to done, each change in the book before the next thing is done. A job that fails fails alone. Jobs that the
 * log says were begun are gone on with, from their last committed step.
 */
export class SweepRunner {
  readonly #options: RunnerOptions;
  readonly #running = new Map<string, Running>();
  readonly #unsubscribe: () => void;
  readonly #lost = new AbortController();
  #isClosed = false;
  /** Workers that are being expelled: until the log has it, no job is begun from what it says. */
  #expelling = 0;
  /** Those that were expelled in this run, with the reason. */
  readonly #expelled = new Map<string, string>();
  #wake: (() => void)[] = [];

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#unsubscribe = options.book.subscribe((records) => this.#observe(records));
    this.#fill();
  }

  /** Resolves when no job is left to work on. @throws LogLostError */
  async idle(): Promise<void> {
    for (;;) {
      this.#lost.signal.throwIfAborted();
      const { sweeps } = this.#options.book.state;
      if (this.#running.size === 0 && !sweeps.some(({ jobs }) => jobs.some(({ state }) => isLive(state))))
        return;
      await new Promise<void>((wake) => this.#wake.push(wake));
    }
  }

  /**
   * A worker gave a wrong result. Jobs that rest on unchecked results of it stop at once, go back to the last step before the first one that holds some, and
   * go on from there.
   *
   * @throws LogLostError
   */
  async expel(workerId: string, reason: string): Promise<void> {
    const { book } = this.#options;
    const worker = { workerId, reason };
    this.#expelled.set(workerId, reason);
    const using = [...this.#running].filter(([, { work }]) =>
      work?.provenance?.uncheckedSince(0).workers.includes(workerId),
    );
    const running = new Set(using.map(([key]) => key));
    for (const { id, event } of book.restingOn(worker, running))
      this.#running
        .get(jobIdText(id))
        ?.stop.abort(new DOMException(`the job was ${event.kind}`, "AbortError"));
    this.#expelling++;
    try {
      await book.expel(worker, running);
    } finally {
      this.#expelling--;
      this.#fill();
    }
  }

  /** Resolves when nobody works on jobs of a sweep any more that are over. */
  async letGoOf(sweep: string): Promise<void> {
    const own = [...this.#running.values()].filter(({ id }) => id.sweep === sweep);
    await Promise.all(own.map(({ ended }) => ended));
  }

  /** Stops working. Jobs stay where their last commit is, and another runner goes on with them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unsubscribe();
    for (const { stop } of this.#running.values())
      stop.abort(new DOMException("the runner stops", "AbortError"));
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  #observe(records: readonly SweepRecord[]): void {
    for (const record of records) {
      if (record.kind !== "job-moved") continue;
      const { kind } = record.event;
      // The job's own work does not know of these; when it has ended, the job's turn may come again.
      if (kind !== "cancelled" && kind !== "taken-back") continue;
      this.#running.get(jobIdText(record))?.stop.abort(new DOMException(`the job was ${kind}`, "AbortError"));
    }
    if (records.some(({ kind }) => kind === "job-moved" || kind === "sweep-submitted")) this.#fill();
  }

  #fill(): void {
    if (!this.#isClosed && !this.#lost.signal.aborted && this.#expelling === 0) {
      const { book, limit } = this.#options;
      for (const id of nextJobs(book.state, new Set(this.#running.keys()), limit)) this.#start(id);
    }
    for (const wake of this.#wake.splice(0)) wake();
  }

  #start(id: JobId): void {
    const key = jobIdText(id);
    const stop = new AbortController();
    const ended = this.#run(id, stop.signal).then(() => {
      this.#running.delete(key);
      this.#fill();
    });
    this.#running.set(key, { id, stop, ended, work: undefined, clearing: new Set() });
  }

  /** Never rejects. */
  async #run(id: JobId, signal: AbortSignal): Promise<void> {
    const { reasonOf } = this.#options;
    try {
      await this.#work(id, signal);
    } catch (error) {
      if (error instanceof LogLostError) return this.#stopAll(error);
      await this.#fail(id, reasonOf(error), signal).catch((lost: unknown) => this.#stopAll(lost));
    }
  }

  /** A job that was cancelled or taken back does not fail of that, though what it commits is refused from then on. @throws LogLostError */
  async #fail(id: JobId, reason: string, signal: AbortSignal): Promise<void> {
    const { book } = this.#options;
    // What was decided before is to be seen then, and with it whether the job's work was stopped.
    await book.flushed();
    if (signal.aborted) return;
    const failed: JobEvent = { kind: "failed", reason };
    await book.move(id, failed).catch((refused: unknown) => {
      if (!(refused instanceof IllegalRecordError)) throw refused;
      // It happened in the same moment. Before it is to be seen, the job's turn would come again and again.
      return book.flushed();
    });
  }

  /** Nobody knows what the log holds now: nothing more is done until somebody reads it again. */
  #stopAll(error: unknown): void {
    this.#lost.abort(error);
    for (const { stop } of this.#running.values()) stop.abort(error);
  }

  async #work(id: JobId, signal: AbortSignal): Promise<void> {
    const { book, open } = this.#options;
    const { spec } = findSweep(book.state, id.sweep)!;
    if (findJob(book.state, id)!.state.phase === "queued") await book.move(id, { kind: "started" });
    const takenBack = withoutOpenChecks(findJob(book.state, id)!);
    // Its turn comes again when the log has it.
    if (takenBack) return book.move(id, takenBack);
    let work: JobWork | undefined;
    try {
      const options = jobOptions(spec, spec.jobs.find(({ name }) => name === id.job)!);
      const { deviceClass, wasTakenBack = false } = findJob(book.state, id) ?? {};
      work = await open({ ...id, options, deviceClass, wasTakenBack }, signal);
      const running = this.#running.get(jobIdText(id));
      if (running) running.work = work;
      for (;;) {
        signal.throwIfAborted();
        const event = await this.#nextPart(id, work, signal);
        if (event === undefined) return;
        await book.move(id, event);
      }
    } catch (error) {
      // It may have failed by a wrong result, which a check is about to show: then it is taken back instead.
      if (!signal.aborted) await work?.provenance?.settled(signal).catch(() => undefined);
      const used = signal.aborted ? [] : (work?.provenance?.uncheckedSince(0).workers ?? []);
      for (const [workerId, reason] of this.#expelled)
        if (used.includes(workerId)) await this.expel(workerId, reason);
      throw error;
    } finally {
      await work?.close();
    }
  }

  /** Does what the job's state asks for; undefined where there is nothing more to do. */
  async #nextPart(id: JobId, work: JobWork, signal: AbortSignal): Promise<JobEvent | undefined> {
    const job = findJob(this.#options.book.state, id)!;
    const scanned = { resume: committedSearches(job), tile: job.tile };
    switch (job.state.phase) {
      case "scanning":
        return {
          kind: "scanned",
          found: await work.scan({ ...scanned, ...this.#commits(id, work, signal) }, signal),
        };
      case "unlearning": {
        const repair = await work.unlearn(scanned, signal);
        const since = work.provenance?.uncheckedSince(0);
        this.#clearLater(id, { kind: "repair" }, since);
        return { kind: "unlearned", repair, ...trustIn(since) };
      }
      case "evaluating": {
        const report = await work.evaluate(scanned, job.state.repair, signal);
        // A job is done when nothing that it was given is being checked any more.
        await work.provenance?.settled(signal);
        await Promise.all(this.#running.get(jobIdText(id))?.clearing ?? []);
        return { kind: "evaluated", report, ...namesOf(work.provenance?.uncheckedSince(0).workers) };
      }
      default:
        return undefined;
    }
  }

  #commits(
    id: JobId,
    work: JobWork,
    signal: AbortSignal,
  ): Pick<ScanCommits, "onTile" | "onCommit" | "onResult"> {
    const { book } = this.#options;
    /** Results that there were at each search's last commit. What is computed for a search before its first one is often computed for all of them. */
    const given = new Map<number, number>();
    return {
      onTile: ({ tile, timed }) => book.commitTile(id, { tile, timed: [...(timed ?? [])] }),
      onCommit: async (search, state, lines) => {
        signal.throwIfAborted();
        const step = lines.find(({ kind }) => kind === "step");
        const { deviceClass, provenance } = work;
        const since = provenance?.uncheckedSince(given.get(search) ?? 0);
        if (provenance) given.set(search, provenance.given);
        await book.commitStep(id, search, state, {
          ...(step && { results: digestOf(canonicalJson(step)) }),
          ...(deviceClass === undefined ? {} : { deviceClass }),
          ...trustIn(since),
        });
        this.#clearLater(id, { kind: "step", search, step: state.step }, since);
      },
      onResult: async (search, result) => {
        signal.throwIfAborted();
        // Searches have answers in common that were computed for whichever asked first.
        const since = work.provenance?.uncheckedSince(0);
        await book.commitResult(id, result, trustIn(since));
        this.#clearLater(id, { kind: "found", search }, since);
      },
    };
  }

  /** Tells the log when the results that something was computed from have turned out right. */
  #clearLater(id: JobId, of: Computed, since: Since | undefined): void {
    const running = this.#running.get(jobIdText(id));
    if (since === undefined || !since.isChecking || running === undefined) return;
    const clearing = since.cleared().then(async (workers) => {
      if (workers === undefined || this.#isClosed || this.#lost.signal.aborted) return;
      await this.#options.book.commitChecked(id, of, workers).catch((error: unknown) => {
        // Its sweep may be gone by then.
        if (!(error instanceof IllegalRecordError)) this.#stopAll(error);
      });
    });
    running.clearing.add(clearing);
    void clearing.finally(() => running.clearing.delete(clearing));
  }
}

/** What the log is to know of the results that something was computed from. */
const trustIn = (since: Since | undefined): { readonly unchecked?: string[]; readonly checking?: true } => ({
  ...namesOf(since?.workers),
  ...(since?.isChecking ? { checking: true } : {}),
});

const namesOf = (workers: readonly string[] = []): { readonly unchecked?: string[] } =>
  workers.length === 0 ? {} : { unchecked: [...workers] };
