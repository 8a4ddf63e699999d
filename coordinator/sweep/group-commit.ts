import { setTimeout as sleep } from "node:timers/promises";
import type { SweepRecord } from "./records.ts";
import type { SweepsState } from "./sweep.ts";
import { isFull, LogLostError, type SweepLog } from "./sweep-log.ts";

/** Records of one append: enough that the disk's wait is shared, few enough for one message of a broker. */
const MOST_RECORDS = 256;
const SNAPSHOT_EVERY = 5_000;
/** A full disk is looked at again after so long. */
const PAUSE_MS = 2_000;

interface Waiting {
  readonly records: readonly SweepRecord[];
  /** The state after them. */
  readonly after: SweepsState;
  resolve(): void;
  reject(error: LogLostError): void;
}

export interface GroupCommitOptions {
  readonly snapshotEvery?: number;
  readonly pause?: () => Promise<void>;
  /** Records are durable; called in their order. */
  readonly onDurable: (records: readonly SweepRecord[], state: SweepsState) => void;
  /** Nothing more is written; called once. */
  readonly onLost?: (error: LogLostError) => void;
}

/**
 * Writes changes to the log, those that come while it writes together in its next write, and a snapshot now and then, and when a sweep was removed. A change is durable
 * before its promise resolves. Where the log fails, what waits and all that comes later is refused: nobody knows what was written. Only a full
 * disk is waited for, and whoever asks waits with it.
 */
export class GroupCommit {
  readonly #log: SweepLog;
  readonly #options: GroupCommitOptions;
  readonly #queue: Waiting[] = [];
  #isWriting = false;
  #sinceSnapshot = 0;
  #broken: LogLostError | undefined;
  /** Why nothing is written at the moment. */
  waiting: string | undefined;

  constructor(log: SweepLog, options: GroupCommitOptions) {
    this.#log = log;
    this.#options = options;
  }

  throwIfBroken(): void {
    if (this.#broken) throw this.#broken;
  }

  commit(records: readonly SweepRecord[], after: SweepsState): Promise<void> {
    this.throwIfBroken();
    return new Promise((resolve, reject) => {
      this.#queue.push({ records, after, resolve, reject });
      if (!this.#isWriting) void this.#write();
    });
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      // What is asked for at the same moment is written together from the first write on.
      await Promise.resolve();
      while (this.#queue.length > 0) await this.#writeGroup(this.#takeGroup());
    } finally {
      this.#isWriting = false;
    }
  }

  /** The next changes of the queue: at least one, whole ones. */
  #takeGroup(): Waiting[] {
    let [changes, records] = [0, 0];
    for (const waiting of this.#queue) {
      records += waiting.records.length;
      if (changes > 0 && records > MOST_RECORDS) break;
      changes++;
    }
    return this.#queue.splice(0, changes);
  }

  async #writeGroup(group: readonly Waiting[]): Promise<void> {
    const records = group.flatMap((waiting) => waiting.records);
    try {
      if (records.length > 0) await this.#untilThereIsRoom(() => this.#log.append(records));
    } catch (error) {
      this.#break(error, group);
      return;
    }
    const state = group.at(-1)!.after;
    if (records.length > 0) this.#options.onDurable(records, state);
    for (const { resolve } of group) resolve();
    this.#sinceSnapshot += records.length;
    const isShorter = records.some(({ kind }) => kind === "sweep-removed");
    if (!isShorter && this.#sinceSnapshot < (this.#options.snapshotEvery ?? SNAPSHOT_EVERY)) return;
    this.#sinceSnapshot = 0;
    try {
      await this.#log.snapshot(state);
    } catch (error) {
      // Without room the records stay as they are; the next snapshot will do.
      if (!isFull(error)) this.#break(error, []);
    }
  }

  #break(error: unknown, group: readonly Waiting[]): void {
    this.#broken = new LogLostError(error);
    for (const { reject } of [...group, ...this.#queue.splice(0)]) reject(this.#broken);
    this.#options.onLost?.(this.#broken);
  }

  async #untilThereIsRoom(write: () => Promise<unknown>): Promise<void> {
    const pause = this.#options.pause ?? (() => sleep(PAUSE_MS));
    for (;;) {
      try {
        await write();
        this.waiting = undefined;
        return;
      } catch (error) {
        if (!isFull(error)) throw error;
        this.waiting = (error as Error).message;
        await pause();
      }
    }
  }
}
