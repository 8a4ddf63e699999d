/** Which workers can do an operation at all, whoever's turn it is. */
import type { DispatchState, Need, OperationState, ScopeState, WorkerState } from "./state.ts";

/** Whether the worker has the form of programs and the memory. */
export const canDo = ({ forms, memoryBytes }: WorkerState, need: Need): boolean =>
  forms.includes(need.form) && hasMemory(memoryBytes, need.memoryBytes);

/** A worker that says nothing of its memory has enough. */
export const hasMemory = (has: number, needed: number): boolean => has === 0 || needed <= has;

/** Whether a worker may have the operation: its class fits, it can do it, and the operation did not go wrong there, or went wrong on all. */
export function couldDo(state: DispatchState, operation: OperationState, worker: WorkerState): boolean {
  const scope = state.scopes.get(operation.scope)!;
  if (!fitsClass(state, scope, worker.deviceClass) || !canDo(worker, operation.need)) return false;
  return !operation.avoid.has(worker.workerId) || !othersCould(state, operation, scope);
}

/**
 * Whether the scope's operations go to this class: to the one that it is bound to, else to any that can do all of them, since it cannot change over later.
 */
export function fitsClass(state: DispatchState, scope: ScopeState, deviceClass: string): boolean {
  if (isBound(scope)) return scope.deviceClass === deviceClass;
  for (const need of scope.needs.values())
    if (!anyActive(state, deviceClass, (worker) => canDo(worker, need))) return false;
  return true;
}

/** While nobody works on it and nothing came of its class, another class may have it. */
export const isBound = ({ isSettled, leases }: ScopeState): boolean => isSettled || leases > 0;

/** Workers that take leases, of a class or of any. */
export const activeOf = ({ workers }: DispatchState, deviceClass?: string): WorkerState[] =>
  [...workers.values()].filter(
    (worker) => worker.life === "active" && (deviceClass === undefined || worker.deviceClass === deviceClass),
  );

/** Whether one of them passes a test. Every event asks, so nothing is gathered. */
export function anyActive(
  { workers }: DispatchState,
  deviceClass: string | undefined,
  passes: (worker: WorkerState) => boolean,
): boolean {
  for (const worker of workers.values()) {
    const isMeant = deviceClass === undefined || worker.deviceClass === deviceClass;
    if (isMeant && worker.life === "active" && passes(worker)) return true;
  }
  return false;
}

/** Whether a worker is there on which the operation did not go wrong yet. */
function othersCould(state: DispatchState, { avoid, need }: OperationState, scope: ScopeState): boolean {
  const deviceClass = isBound(scope) ? scope.deviceClass : undefined;
  return anyActive(state, deviceClass, (worker) => canDo(worker, need) && !avoid.has(worker.workerId));
}
