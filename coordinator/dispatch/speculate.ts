import { assignTo } from "./assign.ts";
import { type Expectation, expectation } from "./durations.ts";
import type { Decision, Slowness } from "./events.ts";
import { couldDo } from "./fit.ts";
import { idleWorkers } from "./move.ts";
import type { DispatchState, LeaseState, WorkerState } from "./state.ts";

/** Whoever looks because of time does so at least this often. */
const TICK_MS = 1_000;
/** And no more often: a look costs as much as an event. */
const LOOK_EVERY_MS = 25;

/**
 * Gives idle workers what others are slow at, a second time: at the end of a round everybody waits for the slowest worker. A lease that runs is taken to need
 * what its worker usually takes, and once it took longer, as long again as it is late; where that is a multiple of what the idle worker needs, both compute
 * it, and the first result counts. No operation has more than two leases, and a worker gets one only when it has nothing else.
 */
export function speculate(state: DispatchState, nowMs: number): Decision[] {
  const decisions: Decision[] = [];
  if (state.settings.speculateFactor === 0) return decisions;
  let afterMs = Number.POSITIVE_INFINITY;
  const idleOnes = idleWorkers(state, nowMs);
  if (idleOnes.length === 0) return decisions;
  const suspects: Running[] = [];
  for (const worker of state.workers.values()) {
    const lease = runningLease(state, worker);
    const expected = lease && expectation(state, state.operations.get(lease.key)!);
    if (!expected) continue;
    const running = {
      lease,
      worker,
      expected,
      usualMs: expected.on(worker),
      runningMs: nowMs - worker.beganMs,
    };
    // Even beside the fastest worker: most are not slow, and each event asks.
    const inMs = slowInMs(state, running, expected.leastMs);
    if (inMs > 0) afterMs = Math.min(afterMs, inMs);
    else suspects.push(running);
  }
  for (const idle of idleOnes) {
    let slowest: { readonly lease: LeaseState; readonly slow: Slowness } | undefined;
    for (const running of suspects) {
      const { lease } = running;
      if (!mayHaveSecond(state, lease, idle)) continue;
      const elsewhereMs = running.expected.on(idle);
      const inMs = slowInMs(state, running, elsewhereMs);
      const slow = slownessOf(running, elsewhereMs);
      if (inMs > 0) afterMs = Math.min(afterMs, inMs);
      else if (!slowest || slow.remainingMs > slowest.slow.remainingMs) slowest = { lease, slow };
    }
    if (!slowest) continue;
    const operation = state.operations.get(slowest.lease.key)!;
    decisions.push({ ...assignTo(state, idle, operation, nowMs), second: slowest.slow });
  }
  if (afterMs <= TICK_MS) decisions.push({ kind: "look-again", afterMs: Math.max(afterMs, LOOK_EVERY_MS) });
  return decisions;
}

/** What a worker computes: it begins its leases in the order in which it got them. What waits behind something may move. */
function runningLease(state: DispatchState, { leases, lingering }: WorkerState): LeaseState | undefined {
  if (lingering) return undefined;
  const { value } = leases.values().next();
  return value === undefined ? undefined : state.leases.get(value);
}

function mayHaveSecond(state: DispatchState, { key }: LeaseState, idle: WorkerState): boolean {
  const operation = state.operations.get(key)!;
  // What a child or a worker died of may kill two of them, and the last tries are to be alone.
  if (operation.leases.size > 1 || operation.isCheck || operation.childDeaths > 0) return false;
  if (operation.losses > 0) return false;
  // A state is as large as three models: the worker that has it is faster than another that gets it.
  if (operation.state !== undefined) return false;
  return idle.checkpoints.has(operation.checkpoint) && couldDo(state, operation, idle);
}

/** What a worker computes, and how long that usually takes. */
interface Running {
  readonly lease: LeaseState;
  readonly worker: WorkerState;
  readonly expected: Expectation;
  readonly usualMs: number;
  readonly runningMs: number;
}

/** What is left of it: the rest of what it usually takes, or as long again as it is late. */
const remainingOf = ({ usualMs, runningMs }: Running): number => Math.abs(usualMs - runningMs);

/** Until it is slow enough beside a worker that takes `elsewhereMs`; 0 if it is. */
function slowInMs(
  { settings: { speculateFactor, speculateAfterMs } }: DispatchState,
  running: Running,
  elsewhereMs: number,
): number {
  const enoughMs = Math.max(speculateFactor * elsewhereMs, speculateAfterMs);
  if (remainingOf(running) > enoughMs) return 0;
  return Math.max(1, Math.ceil(running.usualMs + enoughMs - running.runningMs + 1));
}

function slownessOf(running: Running, elsewhereMs: number): Slowness {
  const { lease, worker, usualMs, runningMs } = running;
  const remainingMs = remainingOf(running);
  return { leaseId: lease.id, workerId: worker.workerId, runningMs, usualMs, elsewhereMs, remainingMs };
}
