/**
 * The durable state of a coordinator: one append-only log with one writer at a time. Whoever becomes the writer begins a
 * term; what an older writer still appends is refused.
 */

/** A record of the log: JSON. Sequences count from 1 without gaps, over snapshots and restores too. */
export interface LogRecord {
  readonly sequence: number;
  readonly value: unknown;
}

/** What a replay gives: at most one snapshot, first, then the records after it. */
export type LogEntry =
  | { readonly kind: "snapshot"; readonly upTo: number; readonly value: unknown }
  | ({ readonly kind: "record" } & LogRecord);

/** The log as its only writer sees it, for the length of one term. */
export interface Log {
  /** Number of this writer's reign; higher than that of any before it. */
  readonly term: number;
  /** Sequence of the last record; 0 where there is none. */
  readonly last: number;
  /**
   * Appends all or none, in order; resolves with the sequence of the last of them once they survive `kill -9`, and a loss
   * of power as far as the medium promises. Appends that wait together are written together.
   * @throws FencedError once another coordinator took over; StoreFullError, with nothing written.
   */
  append(values: readonly unknown[]): Promise<number>;
  /** The newest snapshot, and the records after it, in order. @throws StoreDamagedError where they cannot be had. */
  replay(): AsyncIterable<LogEntry>;
  /** Takes the place of all records up to `last`, appends that wait already included. Waits for replays that run. */
  snapshot(value: unknown): Promise<void>;
  /** Resolves when this writer lost its term. */
  readonly lost: Promise<void>;
  /** Gives the term back. What was not written by then is rejected with StoreClosedError. */
  close(): Promise<void>;
}

export interface RestorableLog extends Log {
  /** Makes an empty log hold what another one held, all or none; its term rises above the other's. */
  adopt(history: History): Promise<void>;
}

/** All that a log holds. */
export interface History {
  /** Term of the writer that gave it. */
  readonly term: number;
  /** Records up to this one are in the snapshot; 0 where there is none. */
  readonly upTo: number;
  readonly snapshot?: { readonly value: unknown };
  /** Sequences `upTo` + 1, + 2, … */
  readonly records: readonly LogRecord[];
}

/** A history as its medium writes it: values are JSON text, records follow `upTo` without gaps. */
export interface EncodedHistory {
  readonly term: number;
  readonly upTo: number;
  readonly snapshot?: string;
  readonly records: readonly string[];
}

/**
 * Where a log is kept, held by one writer for one term. Calls never overlap, `read`'s steps included. Values are JSON
 * text. Every write names the last sequence that the writer knows, and fails with FencedError where that is not so.
 */
export interface LogMedium {
  /** For messages: a file, a stream. */
  readonly place: string;
  readonly term: number;
  /** Sequence of the last record when it was opened. */
  readonly last: number;
  append(last: number, values: readonly string[]): Promise<void>;
  snapshot(last: number, value: string): Promise<void>;
  /** Into an empty log. */
  adopt(history: EncodedHistory): Promise<void>;
  /** What is there up to record `last`, also while more is appended; a snapshot meanwhile would end it. */
  read(last: number): AsyncIterator<LogEntry, void, void>;
  /** Resolves when another writer is known to have taken over. */
  readonly lost: Promise<void>;
  /** Ends a write or a step of a read that waits for something outside; it fails with StoreClosedError. */
  interrupt(): void;
  /** Called once, when nothing runs. */
  close(): Promise<void>;
}
