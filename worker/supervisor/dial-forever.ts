import type { Hello } from "../../proto/messages.ts";
import { sleep } from "../clock.ts";
import { type Dialling, dialCoordinator, RefusedError, type StreamEvents } from "./coordinator-stream.ts";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3_000;

/** Pause before the next round over the addresses: growing, and with jitter, so that a herd of workers does not come at once. */
export const pauseMs = (round: number, random: () => number): number =>
  Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(round, 10)) * (0.5 + random());

/**
 * Tries the addresses in turn until one welcomes the worker, for ever. `waiting` is called once, with the first reason.
 *
 * @throws RefusedError where a coordinator refuses the worker, and the signal's reason where it aborts.
 */
export async function dialForever({
  addresses,
  hello,
  signal,
  events,
  waiting,
  dialling,
}: {
  readonly addresses: readonly string[];
  readonly hello: () => Promise<Hello>;
  readonly signal: AbortSignal;
  readonly events: StreamEvents;
  readonly waiting: (reason: string) => void;
  readonly dialling: Dialling;
}): Promise<void> {
  const { clock } = dialling;
  for (let attempt = 0; ; attempt++) {
    const address = addresses[attempt % addresses.length]!;
    try {
      await dialCoordinator(address, await hello(), signal, events, dialling);
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof RefusedError)
        throw new RefusedError(`${address} refused this worker: ${error.message}`);
      if (attempt === 0) waiting((error as Error).message);
    }
    if (attempt % addresses.length === addresses.length - 1) {
      await sleep(clock, pauseMs(Math.floor(attempt / addresses.length), clock.random), signal);
    }
  }
}
