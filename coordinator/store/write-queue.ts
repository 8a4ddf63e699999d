/** Texts of appends that are written at once, at most: a message of NATS holds 1 MB. */
const GROUP_BYTES = 256 * 1024;

interface Append {
  readonly kind: "append";
  readonly values: readonly string[];
  readonly bytes: number;
  readonly resolve: (sequence: number) => void;
  readonly reject: (error: Error) => void;
}

interface Alone {
  readonly kind: "alone";
  readonly run: () => Promise<void>;
  readonly reject: (error: Error) => void;
}

/**
 * One thing after the other, in the order in which it was asked for. Appends that wait one behind the other become one
 * write, so that many of them cost one synchronisation of the disk.
 */
export class WriteQueue {
  readonly #write: (values: readonly string[]) => Promise<number>;
  #waiting: (Append | Alone)[] = [];
  #running: Promise<void> | undefined;
  #ended: Error | undefined;

  /** `write` is all or none; it gives the sequence of the record before its first. */
  constructor(write: (values: readonly string[]) => Promise<number>) {
    this.#write = write;
  }

  /** Resolves with the sequence of the last of these values. */
  append(values: readonly string[]): Promise<number> {
    const bytes = values.reduce((sum, value) => sum + value.length, 0);
    return new Promise((resolve, reject) => this.#add({ kind: "append", values, bytes, resolve, reject }));
  }

  /** Runs something between the writes. */
  alone<T>(task: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const run = () => task().then(resolve, reject);
      this.#add({ kind: "alone", run, reject });
    });
  }

  /** What waits, and what comes, is rejected; what runs goes on, and the promise resolves after it. */
  async end(error: Error): Promise<void> {
    this.#ended ??= error;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(this.#ended);
    await this.#running;
  }

  #add(task: Append | Alone): void {
    if (this.#ended) {
      task.reject(this.#ended);
    } else {
      this.#waiting.push(task);
      this.#running ??= this.#run();
    }
  }

  async #run(): Promise<void> {
    // What is appended in the same turn of the event loop is written together.
    await Promise.resolve();
    for (let task = this.#waiting[0]; task; task = this.#waiting[0]) {
      if (task.kind === "append") await this.#writeGroup();
      else {
        this.#waiting.shift();
        await task.run();
      }
    }
    this.#running = undefined;
  }

  async #writeGroup(): Promise<void> {
    const group = this.#takeGroup();
    try {
      let sequence = await this.#write(group.flatMap(({ values }) => values));
      for (const { values, resolve } of group) {
        sequence += values.length;
        resolve(sequence);
      }
    } catch (error) {
      for (const { reject } of group) reject(error as Error);
    }
  }

  #takeGroup(): Append[] {
    const group: Append[] = [];
    let bytes = 0;
    for (const task of this.#waiting) {
      if (task.kind !== "append") break;
      bytes += task.bytes;
      if (group.length > 0 && bytes > GROUP_BYTES) break;
      group.push(task);
    }
    this.#waiting.splice(0, group.length);
    return group;
  }
}
