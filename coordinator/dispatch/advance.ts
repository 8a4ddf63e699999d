import { assign } from "./assign.ts";
import { assignChecks } from "./checks.ts";
import type { Decision, DispatchEvent, EventOf } from "./events.ts";
import { moveWaiting } from "./move.ts";
import { malformed, released, result, scopeClosed, submitted, withdrawn } from "./operation-events.ts";
import { speculate } from "./speculate.ts";
import type { DispatchState } from "./state.ts";
import type { Turn } from "./turn.ts";
import { childDied, credit, draining, heartbeat, joined, left, tick, writable } from "./worker-events.ts";

const handlers: { readonly [K in DispatchEvent["kind"]]: (turn: Turn, event: EventOf<K>) => void } = {
  joined,
  left,
  credit,
  writable,
  heartbeat,
  draining,
  "child-died": childDied,
  result,
  malformed,
  submitted,
  withdrawn,
  released,
  "scope-closed": scopeClosed,
  awaited: ({ state }, { scope }) => {
    const known = state.scopes.get(scope);
    if (known) known.isAwaited = true;
  },
  tick,
  "looked-again": () => {},
  drain: ({ state }) => {
    state.draining = true;
  },
};

/**
 * What an event means: the decisions, in the order in which they must be carried out.
 *
 * No I/O, no clock, no randomness: the same events at the same times give the same decisions. The state belongs to the
 * caller and is updated in place, since copying it would cost more than all the rest at thousands of operations.
 */
export function advance(state: DispatchState, event: DispatchEvent, nowMs: number): Decision[] {
  if ("session" in event && event.kind !== "writable") {
    const worker = state.workers.get(event.session);
    if (worker) worker.heardMs = nowMs;
  }
  const decisions: Decision[] = [];
  const handler = handlers[event.kind] as (turn: Turn, event: DispatchEvent) => void;
  handler({ state, nowMs, decisions }, event);
  if (state.checks.size > 0) decisions.push(...assignChecks(state, nowMs, "urgent"));
  decisions.push(...assign(state, nowMs), ...moveWaiting(state, nowMs), ...speculate(state, nowMs));
  if (state.checks.size > 0) decisions.push(...assignChecks(state, nowMs, "idle"));
  return decisions;
}
