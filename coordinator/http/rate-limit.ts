/** How often one caller may ask: `burst` times at once, and `perSecond` from then on. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** Callers that are remembered. Whoever was forgotten has its burst again. */
const MAX_CALLERS = 10_000;

/** A bucket of tokens for each caller. */
export class RateLimit {
  readonly #rate: Rate;
  readonly #now: () => number;
  /** Tokens that were left, and when; the caller that was not seen for the longest time first. */
  readonly #buckets = new Map<string, { readonly tokens: number; readonly atMs: number }>();

  /** @param now milliseconds of a clock that never goes back */
  constructor(rate: Rate, now: () => number) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Answers 0 where the caller may ask now, else the whole seconds after which it may again. */
  take(caller: string): number {
    const { burst, perSecond } = this.#rate;
    const atMs = this.#now();
    const known = this.#buckets.get(caller) ?? { tokens: burst, atMs };
    const tokens = Math.min(burst, known.tokens + ((atMs - known.atMs) / 1000) * perSecond);
    const mayAsk = tokens >= 1;
    this.#buckets.delete(caller);
    this.#buckets.set(caller, { tokens: mayAsk ? tokens - 1 : tokens, atMs });
    if (this.#buckets.size > MAX_CALLERS) this.#buckets.delete(this.#buckets.keys().next().value!);
    return mayAsk ? 0 : Math.max(1, Math.ceil((1 - tokens) / perSecond));
  }
}
