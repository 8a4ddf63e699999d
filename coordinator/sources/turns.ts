/** Lets what concerns one key happen one after the other. */
export class Turns {
  /** By key, the end of what was asked for last. */
  readonly #ends = new Map<string, Promise<void>>();

  /** Does `action` when everything asked for under this key before has ended. @throws the signal's reason where it aborts meanwhile */
  async take<T>(key: string, action: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#ends.get(key);
    let end: () => void = () => {};
    const mine = new Promise<void>((resolve) => {
      end = resolve;
    });
    const ended = (before ?? Promise.resolve()).then(() => mine);
    this.#ends.set(key, ended);
    try {
      if (before !== undefined) await orAborted(before, signal);
      signal?.throwIfAborted();
      return await action();
    } finally {
      end();
      if (this.#ends.get(key) === ended) this.#ends.delete(key);
    }
  }
}

async function orAborted(wait: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return wait;
  let stop: () => void = () => {};
  const aborted = new Promise<void>((resolve) => {
    stop = resolve;
  });
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    await Promise.race([wait, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
