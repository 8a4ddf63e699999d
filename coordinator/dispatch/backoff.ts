/**
 * Workers that fail again and again: whose stream breaks, or whose inference child dies, before they finished an operation since the last time. They cost the
 * others what they were given, so they get leases again only after a while that grows, and then one at a time until one is finished. Pure.
 */
import type { DispatchState } from "./state.ts";
import type { Turn } from "./turn.ts";

export interface Flapping {
  /** Failures since it last finished an operation. */
  readonly failures: number;
  /** No lease before; in the past, it is on trial. */
  readonly untilMs: number;
  /** What happened last. */
  readonly reason: string;
}

/** Workers that failed, present or away; the longest unheard of is forgotten first. */
const MAX_REMEMBERED = 1_000;

/** A worker's stream broke or its child died. The first time costs it nothing: machines are restarted, connections are cut. */
export function failed({ state, nowMs, decisions }: Turn, workerId: string, reason: string): void {
  const { backoffMs, maxBackoffMs } = state.settings;
  const failures = (state.flapping.get(workerId)?.failures ?? 0) + 1;
  const delayMs = failures < 2 ? 0 : Math.min(maxBackoffMs, backoffMs * 2 ** (failures - 2));
  state.flapping.delete(workerId);
  state.flapping.set(workerId, { failures, untilMs: nowMs + delayMs, reason });
  if (state.flapping.size > MAX_REMEMBERED) state.flapping.delete(state.flapping.keys().next().value!);
  if (delayMs > 0) decisions.push({ kind: "back-off", workerId, failures, delayMs, reason });
}

/** It finished an operation. */
export const succeeded = ({ flapping }: DispatchState, workerId: string): void =>
  void flapping.delete(workerId);

/** How many operations it may have at a time. */
export function mostLeases({ flapping }: DispatchState, workerId: string, nowMs: number): number {
  const known = flapping.get(workerId);
  if (known === undefined || known.failures < 2) return Number.POSITIVE_INFINITY;
  return nowMs < known.untilMs ? 0 : 1;
}
