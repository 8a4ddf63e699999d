/** A bound on things done at the same time; waiters are served in order. */
export class Permits {
  #free: number;
  readonly #waiters: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Runs `work` as soon as a permit is free. Throws the signal's reason where it aborts before. */
  async with<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#take();
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      this.#give();
    }
  }

  async #take(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #give(): void {
    const next = this.#waiters.shift();
    if (next) next();
    else this.#free++;
  }
}
