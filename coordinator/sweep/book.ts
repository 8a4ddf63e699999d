import type { z } from "zod";
import { canonicalJson } from "../../proto/canonical-json.ts";
import { type AnySearchState, committedStep } from "./committed-step.ts";
import { fold, IllegalRecordError } from "./fold.ts";
import { GroupCommit } from "./group-commit.ts";
import { isLive, type JobEvent } from "./job-state.ts";
import { type RecordOf, SweepRecord } from "./records.ts";
import {
  type FoundResult,
  findSweep,
  type Job,
  type JobId,
  type MeasuredTile,
  NO_SWEEPS,
  SweepSpec,
  SweepsState,
} from "./sweep.ts";
import type { SweepLog } from "./sweep-log.ts";

/** A sweep of this name is there, and it is another one. */
export class SweepExistsError extends Error {
  override readonly name = "SweepExistsError";
}

export interface BookOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Records after which a snapshot takes their place. */
  readonly snapshotEvery?: number;
  /** Resolves when a write that found no room is to be tried again. */
  readonly pause?: () => Promise<void>;
}

/** Where a committed step comes from. */
export type StepOrigin = Pick<RecordOf<"step-committed">, "results" | "deviceClass">;

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

  /** Adds a sweep. The same sweep a second time is there already, so that a client may ask again. @throws SweepExistsError */
  async submit(spec: SweepSpec): Promise<void> {
    const checked = SweepSpec.parse(spec);
    const known = findSweep(this.#ahead, spec.name);
    if (known !== undefined) {
      if (canonicalJson(known.spec) !== canonicalJson(checked))
        throw new SweepExistsError(`there is another sweep '${spec.name}': give this one another name`);
      return this.#change([]);
    }
    await this.#change([{ kind: "sweep-submitted", at: this.#now(), spec: checked }]);
  }

  /** @throws IllegalRecordError where the job's state does not take the event; nothing changes then */
  move(id: JobId, event: JobEvent): Promise<void> {
    return this.#change([this.#moved(id, event)]);
  }

  /** Cancels all jobs of a sweep that are not over, together; answers how many. */
  async cancel(sweep: string): Promise<number> {
    return this.#moveAll(sweep, ({ state }) => isLive(state), { kind: "cancelled" });
  }

  /** Queues all jobs of a sweep that failed or were cancelled, together; answers how many. `fresh` forgets what they committed. */
  async retry(sweep: string, { fresh }: { readonly fresh: boolean }): Promise<number> {
    const isOver = ({ state: { phase } }: Job): boolean => phase === "failed" || phase === "cancelled";
    return this.#moveAll(sweep, isOver, { kind: "retried", fresh });
  }

  /** Resolves when the step is durable: the next one may start. */
  commitStep(id: JobId, search: number, state: AnySearchState, from: StepOrigin = {}): Promise<void> {
    return this.#change([{ kind: "step-committed", ...id, search, step: committedStep(state), ...from }]);
  }

  commitTile(id: JobId, tile: MeasuredTile): Promise<void> {
    return this.#change([{ kind: "tile-measured", ...id, tile }]);
  }

  commitResult(id: JobId, result: z.infer<typeof FoundResult>): Promise<void> {
    return this.#change([{ kind: "search-found", ...id, result }]);
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

  async #moveAll(name: string, isMeant: (job: Job) => boolean, event: JobEvent): Promise<number> {
    const sweep = findSweep(this.#ahead, name);
    if (sweep === undefined) throw new IllegalRecordError(`there is no sweep '${name}'`);
    const meant = sweep.jobs.filter(isMeant);
    await this.#change(meant.map((job) => this.#moved({ sweep: name, job: job.name }, event)));
    return meant.length;
  }

  async #change(records: readonly SweepRecord[]): Promise<void> {
    this.#commits.throwIfBroken();
    this.#ahead = records.reduce(fold, this.#ahead);
    await this.#commits.commit(records, this.#ahead);
  }
}
