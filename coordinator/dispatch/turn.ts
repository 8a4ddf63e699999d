import type { Digest } from "../../proto/operations.ts";
import { removeFromLane } from "./assign.ts";
import type { Decision, LeaseEnd } from "./events.ts";
import { expectWork } from "./fair-shares.ts";
import { lingers, removeLease } from "./load.ts";
import { forgetLosses } from "./losses.ts";
import { noteChecked } from "./origins.ts";
import {
  type DispatchState,
  type LeaseState,
  laneOf,
  type OperationState,
  type WorkerState,
} from "./state.ts";

/** One event being handled: what there is, when it is, and what was decided so far. */
export interface Turn {
  readonly state: DispatchState;
  readonly nowMs: number;
  readonly decisions: Decision[];
}

/** What an operation begins with: its place in line, and nothing that was tried yet. */
export const beginning = ({ state, nowMs }: Turn) => ({
  order: ++state.lastOrder,
  submittedMs: nowMs,
  waitingSinceMs: nowMs,
  leases: new Set<number>(),
  childDeaths: 0,
  losses: 0,
  wasLost: false,
  attempts: 0,
  reasons: [] as string[],
  avoid: new Set<string>(),
});

export function workersNamed({ state }: Turn, workerId: string): WorkerState[] {
  return [...state.workers.values()].filter((worker) => worker.workerId === workerId);
}

/** Those of the leases that this worker really holds. */
export function heldBy({ state }: Turn, worker: WorkerState, leaseIds: Iterable<number>): LeaseState[] {
  return [...leaseIds].flatMap((id) => (worker.leases.has(id) ? [state.leases.get(id)!] : []));
}

/** Ends all leases that an operation has. */
export function endLeases(
  turn: Turn,
  { leases }: OperationState,
  why: { readonly end: LeaseEnd; readonly reason: string; readonly letRun?: boolean },
): void {
  for (const id of [...leases]) {
    const lease = turn.state.leases.get(id)!;
    cancel(turn, lease, why.reason, why.letRun);
    endLease(turn, lease, why.end);
  }
}

/** Before the lease ends. */
export function cancel({ state, decisions }: Turn, lease: LeaseState, reason: string, letRun = false): void {
  const worker = state.workers.get(lease.session);
  if (worker && letRun) lingers(worker, lease, state.operations.get(lease.key)!);
  decisions.push({ kind: "cancel", session: lease.session, leaseId: lease.id, reason, letRun });
}

/** The lease is over; its operation waits again, in the place where it stood, for any worker, unless another one still has it. */
export function requeue(turn: Turn, lease: LeaseState, end: LeaseEnd): void {
  const operation = endLease(turn, lease, end);
  if (operation.leases.size > 0 || operation.isCheck) return;
  operation.waitingSinceMs = turn.nowMs;
  laneOf(turn.state, operation.scope, operation.checkpoint).line.add(operation.order, operation.key);
}

/** Returns the operation, which has one lease less then. */
export function endLease(
  { state, nowMs, decisions }: Turn,
  lease: LeaseState,
  end: LeaseEnd,
): OperationState {
  state.leases.delete(lease.id);
  const operation = state.operations.get(lease.key)!;
  operation.leases.delete(lease.id);
  const worker = state.workers.get(lease.session);
  const scope = state.scopes.get(operation.scope)!;
  expectWork(state, scope, -lease.expectedSeconds);
  scope.leases -= 1;
  if (worker) removeLease(worker, lease, nowMs);
  if (worker?.reservedFor === lease.key) worker.reservedFor = undefined;
  decisions.push({ kind: "lease-ended", leaseId: lease.id, end });
  return operation;
}

/** A result that cannot be used, or none: one more try, elsewhere if possible, unless there were enough. */
export function wentWrong(turn: Turn, lease: LeaseState, reason: string): void {
  const { state } = turn;
  const operation = state.operations.get(lease.key)!;
  const { workerId } = state.workers.get(lease.session)!;
  operation.attempts += 1;
  operation.reasons.push(`on ${workerId}: ${reason}`);
  operation.avoid.add(workerId);
  if (operation.attempts < state.settings.maxAttempts || operation.leases.size > 1) {
    requeue(turn, lease, "failed");
  } else {
    endLease(turn, lease, "failed");
    fail(turn, operation, `it failed ${operation.attempts} times (${operation.reasons.join("; ")})`);
  }
}

export function fail(turn: Turn, operation: OperationState, reason: string): void {
  const { key, scope } = operation;
  const votes = turn.state.checks.get(key)?.votes;
  endLeases(turn, operation, { end: "failed", reason: "the operation is given up", letRun: true });
  forget(turn, operation);
  if (!votes) return void turn.decisions.push({ kind: "fail", key, reason });
  turn.decisions.push({ kind: "check-ended", key, outcome: "failed" });
  if (votes.size > 1)
    distrust(
      turn,
      scope,
      `workers ${[...votes.keys()].join(" and ")} disagree about a result, and nobody could decide: ${reason}`,
    );
}

/** Results that a scope was given may be wrong: it gets nothing more. */
export function distrust(turn: Turn, name: string, reason: string): void {
  const { state, decisions } = turn;
  const scope = state.scopes.get(name);
  if (!scope || scope.distrusted !== undefined) return;
  scope.distrusted = reason;
  for (const key of [...scope.operations, ...scope.checks]) {
    const operation = state.operations.get(key)!;
    endLeases(turn, operation, { end: "withdrawn", reason: "its scope begins again" });
    forget(turn, operation);
    if (operation.isCheck) decisions.push({ kind: "check-ended", key, outcome: "closed" });
  }
  decisions.push({ kind: "distrust", scope: name, reason });
}

/** The operation is over; its leases ended before. */
export function forget({ state }: Turn, operation: OperationState): void {
  const { key, fingerprint, scope } = operation;
  removeFromLane(state, operation);
  forgetLosses(state, operation);
  state.operations.delete(key);
  const scopeState = state.scopes.get(scope);
  scopeState?.operations.delete(key);
  if (state.checks.delete(key) && scopeState) {
    scopeState.checks.delete(key);
    noteChecked(scopeState.origins, fingerprint, false);
  }
  forgetKey(state, fingerprint, key);
  for (const worker of state.workers.values()) {
    if (worker.reservedFor === key) worker.reservedFor = undefined;
  }
}

function forgetKey(state: DispatchState, fingerprint: Digest, key: string): void {
  const keys = state.keysOf.get(fingerprint);
  keys?.delete(key);
  if (keys?.size === 0) state.keysOf.delete(fingerprint);
}
