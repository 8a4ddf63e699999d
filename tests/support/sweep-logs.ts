import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, writeSync } from "node:fs";
import type { SweepLog } from "../../coordinator/sweep/sweep-log.ts";

type Entry =
  | { readonly kind: "snapshot"; readonly upTo: number; readonly value: unknown }
  | { readonly kind: "record"; readonly sequence: number; readonly value: unknown };

/** A log in memory, as JSON text, which outlives who writes to it. */
export class MemoryLog implements SweepLog {
  readonly records: string[] = [];
  snapshots: { readonly upTo: number; readonly text: string }[] = [];
  appends = 0;
  /** Called before each append with its number from 1: throws where the append is to fail with nothing written. */
  before: (append: number) => void | Promise<void> = () => undefined;
  /** The same after it was written, but before anybody is told. */
  after: (append: number) => void = () => undefined;

  async append(values: readonly unknown[]): Promise<number> {
    const append = ++this.appends;
    await this.before(append);
    this.records.push(...values.map((value) => JSON.stringify(value)));
    this.after(append);
    return this.records.length;
  }

  async *replay(): AsyncGenerator<Entry> {
    const snapshot = this.snapshots.at(-1);
    if (snapshot !== undefined)
      yield { kind: "snapshot", upTo: snapshot.upTo, value: JSON.parse(snapshot.text) };
    for (let k = snapshot?.upTo ?? 0; k < this.records.length; k++)
      yield { kind: "record", sequence: k + 1, value: JSON.parse(this.records[k]!) };
  }

  async snapshot(value: unknown): Promise<void> {
    this.snapshots.push({ upTo: this.records.length, text: JSON.stringify(value) });
  }
}

/** A log in a file, one line a record, which waits for the disk after every append. */
export class FileLog implements SweepLog {
  readonly #file: string;
  readonly #descriptor: number;

  constructor(file: string) {
    this.#file = file;
    this.#descriptor = openSync(file, "a");
  }

  async append(values: readonly unknown[]): Promise<void> {
    writeSync(this.#descriptor, values.map((value) => `${JSON.stringify(value)}\n`).join(""));
    fdatasyncSync(this.#descriptor);
  }

  async *replay(): AsyncGenerator<Entry> {
    if (!existsSync(this.#file)) return;
    const lines = readFileSync(this.#file, "utf8").split("\n").slice(0, -1);
    for (const [k, line] of lines.entries())
      yield { kind: "record", sequence: k + 1, value: JSON.parse(line) };
  }

  async snapshot(): Promise<void> {}

  close(): void {
    closeSync(this.#descriptor);
  }
}
