/** Runs several searches at a time while what they write stays in their order. */

export interface OrderedSink<T> {
  emit(value: T): void;
  /** The source is done: the next one's values may follow. */
  end(): void;
}

/** One sink per source; `emit` gets all values of source 0, then those of source 1, and so on. */
export function orderedSinks<T>(count: number, emit: (value: T) => void): OrderedSink<T>[] {
  const waiting = Array.from({ length: count }, (): T[] => []);
  const ended = new Set<number>();
  let head = 0;
  const flush = (): void => {
    for (; head < count; head++) {
      for (const value of waiting[head]!.splice(0)) emit(value);
      if (!ended.has(head)) return;
    }
  };
  return waiting.map((queue, source) => ({
    emit(value) {
      queue.push(value);
      if (source === head) flush();
    },
    end() {
      ended.add(source);
      flush();
    },
  }));
}

/** Works on all items, at most `limit` at a time, in order of start. The first failure stops the others and is thrown. */
export async function runInFlight<T, R>(
  limit: number,
  items: readonly T[],
  signal: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const failure = new AbortController();
  const own = signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal]);
  const results: R[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length && !own.aborted) {
      const index = next++;
      results[index] = await work(items[index]!, own);
    }
  };
  const lanes = Array.from({ length: Math.min(limit, items.length) }, () =>
    lane().catch((error: unknown) => failure.abort(error)),
  );
  await Promise.all(lanes);
  own.throwIfAborted();
  return results;
}
