import type { z } from "zod";
import { canonicalJson } from "../../proto/canonical-json.ts";
import { type AnySearchState, committedStep } from "./committed-step.ts";
import { withoutResultsOf } from "./distrust.ts";
import { fold } from "./fold.ts";
import { GroupCommit } from "./group-commit.ts";
import { isLive, type JobEvent, takes } from "./job-state.ts";
import { type Computed, type RecordOf, SweepRecord } from "./records.ts";
import {
  type FoundResult,
  findSweep,
  type JobId,
  type MeasuredTile,
  NO_SWEEPS,
  requireJob,
  requireSweep,
  SweepSpec,
  SweepsState,
} from "./sweep.ts";
import type { LogLostError, SweepLog } from "./sweep-log.ts";

/** A sweep of this name is there, and it is another one. */
export class SweepExistsError extends Error {
  override readonly name = "SweepExistsError";
}

/** Jobs of the sweep are queued or worked on. */
export class SweepNotOverError extends Error {
  override readonly name = "SweepNotOverError";
}

export interface BookOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Records after which a snapshot takes their place. */
  readonly snapshotEvery?: number;
  /** Resolves when a write that found no room is to be tried again. */
  readonly pause?: () => Promise<void>;
  /** The log takes no more; called once. Everything that is asked for from then on is refused with this error. */
  readonly onLost?: (error: LogLostError) => void;
}

/** Jobs of one sweep; absent names: all of them. */
export interface SomeJobs {
  readonly jobs?: readonly string[];
}

/** Where a committed step comes from. */
export type StepOrigin = Pick<
  RecordOf<"step-committed">,
  "results" | "deviceClass" | "unchecked" | "checking"
>;

/** Told of records that have become durable, in order, and of the state after them. */
export type BookListener = (records: readonly SweepRecord[], state: SweepsState) => void;

/**
 * All sweeps, over a log. A change is decided on everything that was decided before it, written, and only then to be seen: whoever reads
 * `state` sees what a restart would see.
 */
export class SweepBook {
  readonly #commits: GroupCommit;
  readonly #now: () => number;
  readonly #listeners = new Set<BookListener>();
  /** What the state is once everything that waits is durable: what a change is checked against. */
  #ahead: SweepsState;
  #state: SweepsState;

  private constructor(log: SweepLog, first: SweepsState, options: BookOptions) {
    this.#now = options.now;
    this.#ahead = first;
    this.#state = first;
    this.#commits = new GroupCommit(log, {
      ...options,
      onDurable: (records, state) => {
        this.#state = state;
        for (const listener of this.#listeners) listener(records, state);
      },
    });
  }

  /** Reads the log from its snapshot on. @throws Error naming the record that is none, or that cannot follow the ones before it */
  static async open(log: SweepLog, options: BookOptions): Promise<SweepBook> {
    let state = NO_SWEEPS;
    for await (const entry of log.replay()) {
      const place =
        entry.kind === "snapshot" ? `the snapshot up to record ${entry.upTo}` : `record ${entry.sequence}`;
      try {
        state =
          entry.kind === "snapshot"
            ? SweepsState.parse(entry.value)
            : fold(state, SweepRecord.parse(entry.value));
      } catch (cause) {
        throw new Error(`${place} of the sweeps' log cannot be read: ${(cause as Error).message}`, { cause });
      }
    }
    return new SweepBook(log, state, options);
  }

  /** Everything that is durable. */
  get state(): SweepsState {
    return this.#state;
  }

  /** Why changes wait at the moment: the disk has no room. */
  get waiting(): string | undefined {
    return this.#commits.waiting;
  }

  /**
   * Adds a sweep; answers whether it is new. The same sweep a second time is there already, so that a client may ask again.
   *
   * @throws SweepExistsError
   */
  async submit(spec: SweepSpec): Promise<boolean> {
    const checked = SweepSpec.parse(spec);
    const known = findSweep(this.#ahead, spec.name);
    if (known === undefined) {
      await this.#change([{ kind: "sweep-submitted", at: this.#now(), spec: checked }]);
      return true;
    }
    if (canonicalJson(known.spec) !== canonicalJson(checked))
      throw new SweepExistsError(`there is another sweep '${spec.name}': give this one another name`);
    await this.#change([]);
    return false;
  }

  /** @throws IllegalRecordError where the job's state does not take the event; nothing changes then */
  move(id: JobId, event: JobEvent): Promise<void> {
    return this.#change([this.#moved(id, event)]);
  }

  /** Cancels those of a sweep's jobs that are not over, together; answers how many. @throws UnknownNameError */
  async cancel(sweep: string, some: SomeJobs = {}): Promise<number> {
    return this.#moveAll(sweep, some, { kind: "cancelled" });
  }

  /** Queues those of a sweep's jobs that failed or were cancelled, together; answers how many. `fresh` forgets what they committed. @throws UnknownNameError */
  async retry(sweep: string, { fresh, ...some }: SomeJobs & { readonly fresh: boolean }): Promise<number> {
    return this.#moveAll(sweep, some, { kind: "retried", fresh });
  }

  /** @throws UnknownNameError; SweepNotOverError */
  requireOver(name: string): void {
    const { jobs } = requireSweep(this.#ahead, name);
    const live = jobs.filter(({ state }) => isLive(state)).length;
    if (live === 0) return;
    const those = `${live} of its ${jobs.length} jobs ${live === 1 ? "is" : "are"} queued or worked on`;
    throw new SweepNotOverError(`sweep '${name}' is not over, ${those}: cancel it first`);
  }

  /** Takes out a sweep that is over, with all that is known of its jobs, and makes the log that much shorter. @throws UnknownNameError; SweepNotOverError */
  remove(name: string): Promise<void> {
    this.requireOver(name);
    return this.#change([{ kind: "sweep-removed", at: this.#now(), sweep: name }]);
  }

  /** Resolves when the step is durable: the next one may start. */
  commitStep(id: JobId, search: number, state: AnySearchState, from: StepOrigin = {}): Promise<void> {
    return this.#change([{ kind: "step-committed", ...id, search, step: committedStep(state), ...from }]);
  }

  commitTile(id: JobId, tile: MeasuredTile): Promise<void> {
    return this.#change([{ kind: "tile-measured", ...id, tile }]);
  }

  commitResult(
    id: JobId,
    result: z.infer<typeof FoundResult>,
    from: Pick<StepOrigin, "unchecked" | "checking"> = {},
  ): Promise<void> {
    return this.#change([{ kind: "search-found", ...id, result, ...from }]);
  }

  /** Nothing that something was computed from is being checked any more; the results of these workers have all turned out right. */
  commitChecked(id: JobId, of: Computed, workers: readonly string[]): Promise<void> {
    return this.#change([{ kind: "results-checked", ...id, of, workers: [...workers] }]);
  }

  /** Jobs that rest on unchecked results of a worker, by what is decided so far, and what is to become of them. */
  restingOn(worker: { readonly workerId: string; readonly reason: string }, running: ReadonlySet<string>) {
    return withoutResultsOf(this.#ahead, worker, running);
  }

  /** A worker gave a wrong result: the jobs that rest on unchecked ones of it go back, together. */
  expel(
    worker: { readonly workerId: string; readonly reason: string },
    running: ReadonlySet<string>,
  ): Promise<void> {
    const known = this.#ahead.expelled?.some(({ workerId }) => workerId === worker.workerId) === true;
    return this.#change([
      ...(known ? [] : [{ kind: "worker-expelled", at: this.#now(), ...worker } as const]),
      ...this.restingOn(worker, running).map(({ id, event }) => this.#moved(id, event)),
    ]);
  }

  /** Tells a listener of every change from now on, once it is durable. Gives back what ends that. */
  subscribe(listener: BookListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves when everything that was asked for is durable. */
  flushed(): Promise<void> {
    return this.#change([]);
  }

  #moved({ sweep, job }: JobId, event: JobEvent): SweepRecord {
    return { kind: "job-moved", at: this.#now(), sweep, job, event };
  }

  async #moveAll(sweep: string, { jobs }: SomeJobs, event: JobEvent): Promise<number> {
    const named = jobs?.map((job) => requireJob(this.#ahead, { sweep, job }));
    const meant = (named ?? requireSweep(this.#ahead, sweep).jobs).filter(({ state }) => takes(state, event));
    const names = new Set(meant.map(({ name }) => name));
    await this.#change([...names].map((job) => this.#moved({ sweep, job }, event)));
    return names.size;
  }

  async #change(records: readonly SweepRecord[]): Promise<void> {
    this.#commits.throwIfBroken();
    this.#ahead = records.reduce(fold, this.#ahead);
    await this.#commits.commit(records, this.#ahead);
  }
}
