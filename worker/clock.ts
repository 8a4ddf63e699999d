import { performance } from "node:perf_hooks";

/** Where a worker's time comes from: the machine, or a simulation. */
export interface Clock {
  /** Milliseconds that never jump; what began when is nobody's business. */
  now(): number;
  /** Calls once, after so many of them. Gives back what prevents it. */
  after(ms: number, action: () => void): () => void;
  /** Calls again and again. Gives back what ends that. */
  every(ms: number, action: () => void): () => void;
  /** In [0, 1), for pauses that many workers must not make together. */
  random(): number;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, action) {
    const timer = setTimeout(action, ms);
    return () => clearTimeout(timer);
  },
  every(ms, action) {
    const timer = setInterval(action, ms);
    return () => clearInterval(timer);
  },
  random: Math.random,
};

/** Resolves after a time. @throws the signal's reason where it aborts before */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const abort = () => {
      stop();
      reject(signal!.reason as Error);
    };
    const stop = clock.after(ms, () => {
      signal?.removeEventListener("abort", abort);
      resolve();
    });
    signal?.addEventListener("abort", abort, { once: true });
  });
}
