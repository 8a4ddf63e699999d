import { assignTo, canTakeLease, needsWholeWorker } from "./assign.ts";
import type { Decision } from "./events.ts";
import { couldDo } from "./fit.ts";
import { loadOf } from "./load.ts";
import type { DispatchState, LeaseState, WorkerState } from "./state.ts";
import { cancel, endLease, type Turn } from "./turn.ts";

/**
 * Gives idle workers what waits behind other operations on busy ones. Leases are given ahead, so that no worker waits for a message; the end of a
 * round would therefore find some workers with several and others with none. The youngest lease of the longest queue moves, to a worker that has its
 * checkpoint. One that has begun after all goes on, and the first result counts.
 */
export function moveWaiting(state: DispatchState, nowMs: number): Decision[] {
  const turn: Turn = { state, nowMs, decisions: [] };
  const idle = idleWorkers(state, nowMs);
  if (idle.length === 0) return turn.decisions;
  const queues = longQueues(state);
  let afterMs = Number.POSITIVE_INFINITY;
  for (const worker of idle) {
    const lease = youngestWaiting(state, queues, worker);
    if (!lease) continue;
    // What was given a moment ago may be done as soon as a message could take it back.
    const youngMs = state.settings.moveAfterMs - (nowMs - lease.grantedMs);
    if (youngMs > 0) {
      afterMs = Math.min(afterMs, youngMs);
      continue;
    }
    cancel(turn, lease, "an idle worker takes it over", true);
    turn.decisions.push(assignTo(state, worker, endLease(turn, lease, "moved"), nowMs));
    queues.sort(byLength);
  }
  if (afterMs < Number.POSITIVE_INFINITY) turn.decisions.push({ kind: "look-again", afterMs });
  return turn.decisions;
}

/** Workers with no lease that could have one. */
export function idleWorkers(state: DispatchState, nowMs: number): WorkerState[] {
  const idle: WorkerState[] = [];
  if (state.draining || state.leases.size === 0) return idle;
  for (const worker of state.workers.values()) {
    if (loadOf(worker) > 0 || worker.reservedFor !== undefined) continue;
    if (canTakeLease(state, worker, nowMs)) idle.push(worker);
  }
  return idle;
}

/** Workers with leases that wait, the longest queue first. */
function longQueues({ workers }: DispatchState): WorkerState[] {
  const queues: WorkerState[] = [];
  for (const worker of workers.values()) {
    if (hasWaiting(worker) && worker.reservedFor === undefined) queues.push(worker);
  }
  return queues.sort(byLength);
}

const byLength = (a: WorkerState, b: WorkerState): number => loadOf(b) - loadOf(a);

const hasWaiting = (worker: WorkerState): boolean => worker.leases.size > 0 && loadOf(worker) > 1;

function youngestWaiting(
  state: DispatchState,
  queues: readonly WorkerState[],
  idle: WorkerState,
): LeaseState | undefined {
  for (const worker of queues) {
    if (!hasWaiting(worker)) continue;
    let youngest = 0;
    for (const leaseId of worker.leases) youngest = leaseId;
    const lease = state.leases.get(youngest)!;
    const operation = state.operations.get(lease.key)!;
    // A state is better used where it is, and a last try has its worker for itself.
    if (operation.leases.size > 1 || operation.isCheck) continue;
    if (operation.state !== undefined || needsWholeWorker(state, operation)) continue;
    if (idle.checkpoints.has(operation.checkpoint) && couldDo(state, operation, idle)) return lease;
  }
  return undefined;
}
