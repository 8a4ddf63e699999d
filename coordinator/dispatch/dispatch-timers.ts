import { performance } from "node:perf_hooks";

export interface TimerOptions {
  /** Milliseconds that never jump. */
  readonly now?: () => number;
  /** Calls back after some of them. */
  readonly after?: (ms: number, action: () => void) => void;
  /** Calls back again and again. Gives back what ends that. */
  readonly every?: (ms: number, action: () => void) => () => void;
}

const everySystem = (ms: number, action: () => void): (() => void) => {
  const timer = setInterval(action, ms).unref();
  return () => clearInterval(timer);
};

export interface TimerEvents {
  /** A tick: leases may have expired. */
  tick(): void;
  /** The time of a look that was asked for. */
  look(): void;
}

/** When the dispatcher looks although nothing happened. */
export class DispatchTimers {
  readonly now: () => number;
  readonly #after: NonNullable<TimerOptions["after"]>;
  readonly #events: TimerEvents;
  readonly #stopTicking: () => void;
  #looksAtMs = Number.POSITIVE_INFINITY;
  #isStopped = false;

  constructor(leaseMs: number, { now, after, every = everySystem }: TimerOptions, events: TimerEvents) {
    this.now = now ?? (() => performance.now());
    this.#after = after ?? ((ms, action) => setTimeout(action, ms).unref());
    this.#events = events;
    const everyMs = Math.min(1_000, leaseMs / 4);
    let lastMs = this.now();
    this.#stopTicking = every(everyMs, () => {
      const nowMs = this.now();
      // After a pause of this process, heartbeats that came meanwhile are read before leases are judged.
      const isLate = nowMs - lastMs > 2 * everyMs;
      lastMs = nowMs;
      if (!isLate) this.#events.tick();
    });
  }

  /** One look for all that was asked for until then. */
  lookAgain(afterMs: number): void {
    const atMs = this.now() + afterMs;
    if (this.#looksAtMs <= atMs) return;
    this.#looksAtMs = atMs;
    this.#after(Math.ceil(afterMs), () => {
      if (this.#looksAtMs === atMs) this.#looksAtMs = Number.POSITIVE_INFINITY;
      if (!this.#isStopped) this.#events.look();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopTicking();
  }
}
