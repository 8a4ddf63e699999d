/** A bound on things done at the same time; waiters are served in order. */
export class Permits {
  #free: number;
  /** In order of arrival. */
  readonly #waiters = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  get free(): number {
    return this.#free;
  }

  /** Runs `work` as soon as a permit is free. Throws the signal's reason where it aborts before. */
  async with<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#take(signal);
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      this.#give();
    }
  }

  async #take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.#waiters.delete(served);
        reject(signal.reason as Error);
      };
      const served = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      this.#waiters.add(served);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  #give(): void {
    const [next] = this.#waiters;
    if (!next) {
      this.#free++;
      return;
    }
    this.#waiters.delete(next);
    next();
  }
}
