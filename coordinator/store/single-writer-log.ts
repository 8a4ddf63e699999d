import { FencedError, StoreClosedError, StoreGoneError } from "./errors.ts";
import type { History, LogEntry, LogMedium, RestorableLog } from "./log.ts";
import { WriteQueue } from "./write-queue.ts";

/** The log over whatever medium: counts sequences, puts calls in order, and ends for good with the term. */
export class SingleWriterLog implements RestorableLog {
  readonly lost: Promise<void>;
  readonly #medium: LogMedium;
  readonly #queue: WriteQueue;
  readonly #replays = new Set<Promise<void>>();
  #last: number;
  #resolveLost!: () => void;
  #closing: Promise<void> | undefined;

  constructor(medium: LogMedium) {
    this.#medium = medium;
    this.#last = medium.last;
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    this.#queue = new WriteQueue((values) => this.#write(values));
    void medium.lost.then(() => this.#lose(new FencedError(medium.place, medium.term)));
  }

  get term(): number {
    return this.#medium.term;
  }

  get last(): number {
    return this.#last;
  }

  async append(values: readonly unknown[]): Promise<number> {
    return this.#queue.append(values.map(encode));
  }

  async *replay(): AsyncGenerator<LogEntry, void, void> {
    let finish!: () => void;
    const running = new Promise<void>((resolve) => {
      finish = resolve;
    });
    this.#replays.add(running);
    try {
      const entries = await this.#queue.alone(async () => this.#medium.read(this.#last));
      try {
        for (;;) {
          const step = await this.#queue.alone(() => entries.next());
          if (step.done) return;
          yield step.value;
        }
      } finally {
        await entries.return?.();
      }
    } finally {
      this.#replays.delete(running);
      finish();
    }
  }

  async snapshot(value: unknown): Promise<void> {
    const text = encode(value);
    while (this.#replays.size > 0) await Promise.all(this.#replays);
    await this.#queue.alone(() => this.#fenced(this.#medium.snapshot(this.#last, text)));
  }

  async adopt(history: History): Promise<void> {
    const { term, upTo, snapshot, records } = history;
    const encoded = {
      term,
      upTo,
      ...(snapshot && { snapshot: encode(snapshot.value) }),
      records: records.map(({ value }) => encode(value)),
    };
    await this.#queue.alone(async () => {
      if (this.#last !== 0) throw new Error(`${this.#medium.place}: holds records, and can adopt none`);
      await this.#fenced(this.#medium.adopt(encoded));
      this.#last = upTo + records.length;
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const idle = this.#queue.end(new StoreClosedError(this.#medium.place));
    this.#medium.interrupt();
    await idle;
    await this.#medium.close();
  }

  async #write(values: readonly string[]): Promise<number> {
    const before = this.#last;
    if (values.length > 0) await this.#fenced(this.#medium.append(before, values));
    this.#last += values.length;
    return before;
  }

  async #fenced(write: Promise<void>): Promise<void> {
    try {
      await write;
    } catch (error) {
      if (error instanceof FencedError) this.#lose(error);
      if (error instanceof StoreGoneError) void this.#queue.end(error);
      throw error;
    }
  }

  #lose(error: FencedError): void {
    void this.#queue.end(error);
    this.#resolveLost();
  }
}

/** @throws TypeError for what JSON cannot say: undefined, functions, big integers, cycles. */
function encode(value: unknown): string {
  const text = JSON.stringify(value);
  if (text === undefined) throw new TypeError(`a record of a log is JSON, not ${typeof value}`);
  return text;
}
