/**
 * Workers whose whole process was lost, and what they ran then. An operation can take the supervisor with its child, as where a machine runs out of memory.
 * Machines die of other things, too: so one loss says nothing, and only many in a row say that it is the operation. Pure.
 */
import type { DispatchState, OperationKey, OperationState, WorkerState } from "./state.ts";

export interface Loss {
  /** What the worker ran, by its last heartbeat, else the first of what it had; undefined: nothing, or what was answered since. */
  key: OperationKey | undefined;
  readonly workerId: string;
  /** Of its process; empty where it did not say. */
  readonly incarnation: string;
  readonly reason: string;
}

/** The oldest ones are forgotten first. */
const MAX_REMEMBERED = 1_000;
/** An operation that so many workers were lost with is a reason for their losses. From then on it is alone on a worker, so that nothing else can be one. */
const SUSPECT = 3;

/** What a worker works on, as far as it is known here. */
export function runningOn(
  { leases, operations }: DispatchState,
  worker: WorkerState,
): OperationState | undefined {
  const [first] = worker.leases;
  const id = worker.leases.has(worker.runningLease) ? worker.runningLease : first;
  return id === undefined || worker.lingering ? undefined : operations.get(leases.get(id)!.key);
}

/** A worker is lost, and its leases have ended. Answers why what it ran (`ran`) is to be given up, if it is. */
export function noteLoss(
  state: DispatchState,
  { workerId, incarnation }: WorkerState,
  { ran, reason }: { readonly ran: OperationState | undefined; readonly reason: string },
): string | undefined {
  state.losses.push({ key: ran?.key, workerId, incarnation, reason });
  if (ran) ran.wasLost = true;
  if (state.losses.length > MAX_REMEMBERED) state.losses.shift();
  countRows(state);
  if (!ran || ran.leases.size > 0 || ran.losses < state.settings.maxWorkerLosses) return undefined;
  const own = state.losses.filter(({ key }) => key === ran.key).slice(-ran.losses);
  const each = own.map((loss) => `${loss.workerId}: ${loss.reason}`).join("; ");
  return `${ran.losses} workers in a row were lost while they ran it, the last ones with nothing else (${each})`;
}

/** A worker dialled again: what was lost before was its stream, where the process is the same one. */
export function wasNoLoss(state: DispatchState, { workerId, incarnation }: WorkerState): void {
  if (incarnation === "" || state.losses.length === 0) return;
  const left = state.losses.filter((each) => each.workerId !== workerId || each.incarnation !== incarnation);
  if (left.length === state.losses.length) return;
  state.losses = left;
  countRows(state);
}

/** Somebody finished the operation: it was not what those workers were lost of. */
export function explainsNoLoss(state: DispatchState, { key, wasLost }: OperationState): void {
  if (!wasLost) return;
  for (const loss of state.losses) if (loss.key === key) loss.key = undefined;
}

/** The operation is over otherwise: its losses say nothing of others. */
export function forgetLosses(state: DispatchState, { key, wasLost }: OperationState): void {
  if (wasLost) state.losses = state.losses.filter((loss) => loss.key !== key);
}

/** From three on it has a worker for itself. */
export const isSuspect = ({ losses }: OperationState): boolean => losses >= SUSPECT;

/** A row of losses with one operation ends where a worker is lost that ran another one, unless that one is suspect, too. */
function countRows({ losses, operations }: DispatchState): void {
  const all = new Map<OperationKey | undefined, number>();
  for (const { key } of losses) all.set(key, (all.get(key) ?? 0) + 1);
  const rows = new Map<OperationKey, number>();
  for (const { key } of losses) {
    const row = key === undefined ? 0 : (rows.get(key) ?? 0);
    if (key === undefined || all.get(key)! < SUSPECT) rows.clear();
    if (key !== undefined) rows.set(key, row + 1);
  }
  for (const key of all.keys()) {
    const operation = key === undefined ? undefined : operations.get(key);
    if (operation) operation.losses = rows.get(operation.key) ?? 0;
  }
}
