import type { Hello } from "../../proto/messages.ts";
import { sleep } from "../clock.ts";
import {
  type Dialling,
  dialCoordinator,
  NotLeaderError,
  RefusedError,
  type StreamEvents,
} from "./coordinator-stream.ts";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3_000;

/** Pause before the next round over the addresses: growing, and with jitter, so that a herd of workers does not come at once. */
export const pauseMs = (round: number, random: () => number): number =>
  Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(round, 10)) * (0.5 + random());

/**
 * Tries the addresses in turn until one welcomes the worker, for ever. The leader that a standby names is tried next, once: it says who leads, not who is to be
 * trusted, and it may be gone by then. `waiting` is called once, with the first reason.
 *
 * @param leader who is said to lead already
 * @throws RefusedError where a coordinator refuses the worker, and the signal's reason where it aborts.
 */
export async function dialForever({
  addresses,
  leader,
  hello,
  signal,
  events,
  waiting,
  dialling,
}: {
  readonly addresses: readonly string[];
  readonly leader?: string | undefined;
  readonly hello: () => Promise<Hello>;
  readonly signal: AbortSignal;
  readonly events: StreamEvents;
  readonly waiting: (reason: string) => void;
  readonly dialling: Dialling;
}): Promise<void> {
  const { clock } = dialling;
  let named = leader;
  let isFirst = true;
  for (let attempt = 0; ; ) {
    const isNamed = named !== undefined;
    const address = named ?? addresses[attempt % addresses.length]!;
    named = undefined;
    try {
      await dialCoordinator(address, await hello(), signal, events, dialling);
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof RefusedError)
        throw new RefusedError(`${address} refused this worker: ${error.message}`);
      if (error instanceof NotLeaderError && !isNamed && error.leader !== address) named = error.leader;
      if (isFirst && named === undefined) {
        isFirst = false;
        waiting((await dialling.whyNot?.(address)) ?? (error as Error).message);
        signal.throwIfAborted();
      }
    }
    if (!isNamed) attempt++;
    if (named === undefined && attempt > 0 && attempt % addresses.length === 0)
      await sleep(clock, pauseMs(attempt / addresses.length - 1, clock.random), signal);
  }
}
