/** What comes, as long as no piece of it is waited for longer than `limitMs`; `error` is thrown then. */
export async function* withIdleLimit<T>(
  source: AsyncIterator<T>,
  limitMs: number,
  error: () => Error,
): AsyncGenerator<T> {
  for (;;) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(error()), limitMs);
    });
    const next = await Promise.race([source.next(), late]).finally(() => clearTimeout(timer));
    if (next.done) return;
    yield next.value;
  }
}

/** A client that sends nothing of an upload for so long has gone, or holds a place that others wait for. */
export const UPLOAD_IDLE_MS = 60_000;
