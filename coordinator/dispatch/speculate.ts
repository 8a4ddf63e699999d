import { assignTo, needsWholeWorker } from "./assign.ts";
import { expectedMs } from "./durations.ts";
import type { Decision, Slowness } from "./events.ts";
import { couldDo } from "./fit.ts";
import { idleWorkers } from "./move.ts";
import type { DispatchState, LeaseState, WorkerState } from "./state.ts";

/** Whoever looks because of time does so at least this often. */
const TICK_MS = 1_000;

/**
 * Gives idle workers what others are slow at, a second time: at the end of a round everybody waits for the slowest worker. A lease that runs is taken to need
 * what its worker usually takes, and once it took longer, as long again as it is late; where that is a multiple of what the idle worker needs, both compute
 * it, and the first result counts. No operation has more than two leases, and a worker gets one only when it has nothing else.
 */
export function speculate(state: DispatchState, nowMs: number): Decision[] {
  const decisions: Decision[] = [];
  if (state.settings.speculateFactor === 0) return decisions;
  let afterMs = Number.POSITIVE_INFINITY;
  for (const idle of idleWorkers(state, nowMs)) {
    let slowest: { readonly lease: LeaseState; readonly slow: Slowness } | undefined;
    for (const worker of state.workers.values()) {
      const lease = runningLease(state, worker);
      if (!lease || !mayHaveSecond(state, lease, idle)) continue;
      const slow = slownessOf(state, { lease, worker, idle }, nowMs);
      if (!slow) continue;
      if (slow.inMs > 0) afterMs = Math.min(afterMs, slow.inMs);
      else if (!slowest || slow.remainingMs > slowest.slow.remainingMs) slowest = { lease, slow };
    }
    if (!slowest) continue;
    const operation = state.operations.get(slowest.lease.key)!;
    decisions.push({ ...assignTo(state, idle, operation, nowMs), second: slowest.slow });
  }
  if (afterMs <= TICK_MS) decisions.push({ kind: "look-again", afterMs });
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
  if (operation.leases.size > 1 || operation.isCheck || needsWholeWorker(state, operation)) return false;
  // A state is as large as three models: the worker that has it is faster than another that gets it.
  if (operation.state !== undefined) return false;
  return idle.checkpoints.has(operation.checkpoint) && couldDo(state, operation, idle);
}

/** How slow a lease is beside an idle worker; `inMs`: when it will be slow enough, 0 if it is. Undefined where nobody can say. */
function slownessOf(
  state: DispatchState,
  {
    lease,
    worker,
    idle,
  }: { readonly lease: LeaseState; readonly worker: WorkerState; readonly idle: WorkerState },
  nowMs: number,
): (Slowness & { readonly inMs: number }) | undefined {
  const { speculateFactor, speculateAfterMs } = state.settings;
  const operation = state.operations.get(lease.key)!;
  const usualMs = expectedMs(state, operation, worker);
  const elsewhereMs = expectedMs(state, operation, idle);
  if (usualMs === undefined || elsewhereMs === undefined) return undefined;
  const runningMs = nowMs - worker.beganMs;
  const remainingMs = Math.abs(usualMs - runningMs);
  const enoughMs = Math.max(speculateFactor * elsewhereMs, speculateAfterMs);
  const inMs = remainingMs > enoughMs ? 0 : Math.max(1, Math.ceil(usualMs + enoughMs - runningMs + 1));
  return { leaseId: lease.id, workerId: worker.workerId, runningMs, usualMs, elsewhereMs, remainingMs, inMs };
}
