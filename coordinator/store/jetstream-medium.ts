import { encodeBatch, encodeSnapshot } from "./entry.ts";
import { StoreClosedError } from "./errors.ts";
import { describe } from "./jetstream-errors.ts";
import { readLog } from "./jetstream-reader.ts";
import type { LogStream } from "./jetstream-stream.ts";
import type { StreamWriter } from "./jetstream-writer.ts";
import type { LeaderLease } from "./leader-lease.ts";
import type { EncodedHistory, LogEntry, LogMedium } from "./log.ts";

interface MediumParts {
  readonly stream: LogStream;
  readonly lease: LeaderLease;
  readonly writer: StreamWriter;
  readonly end: AbortController;
  readonly log: (message: string) => void;
}

/** A stream, held by the leader whose lease and writer these are. */
export class JetStreamMedium implements LogMedium {
  readonly place: string;
  readonly last: number;
  readonly lost: Promise<void>;
  readonly #parts: MediumParts;
  readonly #keeping: Promise<boolean>;

  constructor(parts: MediumParts) {
    const { stream, lease, writer, end, log } = parts;
    this.#parts = parts;
    this.place = stream.place;
    this.last = writer.position.last;
    this.#keeping = lease.keep(end.signal, (error) => {
      log(`${stream.place}: the lease was not renewed: ${describe(error)}`);
    });
    this.lost = new Promise((resolve) => {
      void this.#keeping.then((isTaken) => isTaken && resolve());
    });
    void this.#purge();
  }

  get term(): number {
    return this.#parts.writer.term;
  }

  append(last: number, values: readonly string[]): Promise<void> {
    return this.#parts.writer.write("batch", encodeBatch(values), last + values.length);
  }

  async snapshot(last: number, value: string): Promise<void> {
    await this.#parts.writer.write("snapshot", encodeSnapshot(last, value, []), last);
    await this.#purge();
  }

  async adopt({ term, upTo, snapshot, records }: EncodedHistory): Promise<void> {
    const { writer } = this.#parts;
    const content = encodeSnapshot(upTo, snapshot, records);
    await writer.write("snapshot", content, upTo + records.length, Math.max(writer.term, term + 1));
    await this.#purge();
  }

  read(): AsyncGenerator<LogEntry, void, void> {
    const { stream, writer, end } = this.#parts;
    return readLog(stream, writer.position, end.signal);
  }

  interrupt(): void {
    this.#parts.end.abort(new StoreClosedError(this.place));
  }

  async close(): Promise<void> {
    const { stream, lease } = this.#parts;
    this.interrupt();
    const isTaken = await this.#keeping;
    if (!isTaken && stream.isConnected) await lease.release().catch(() => {});
    await stream.close();
  }

  /** Removes what the newest snapshot took the place of. Where that fails, the next snapshot or leader does it. */
  async #purge(): Promise<void> {
    const { stream, writer, log } = this.#parts;
    const { snapshotAt } = writer.position;
    if (snapshotAt <= 1) return;
    try {
      await stream.manager.streams.purge(stream.name, { seq: snapshotAt });
    } catch (error) {
      log(`${stream.place}: what its snapshot replaced was not removed: ${describe(error)}`);
    }
  }
}
