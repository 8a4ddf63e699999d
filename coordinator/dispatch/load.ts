/** What a worker has to do before it can begin another operation. */
import type { DispatchState, LeaseState, OperationState, WorkerState } from "./state.ts";

/** Operations that it has, also one whose lease is over but which may go on: the child is not free before it is done. */
export const loadOf = ({ leases, lingering }: WorkerState): number => leases.size + (lingering ? 1 : 0);

/** Milliseconds until it is expected to be done with what it has. */
export function remainingMs({ leases }: DispatchState, worker: WorkerState, nowMs: number): number {
  if (loadOf(worker) === 0) return 0;
  const expected = [...worker.leases].map((id) => leases.get(id)!.expectedSeconds);
  if (worker.lingering) expected.unshift(worker.lingering.expectedSeconds);
  const sum = expected.reduce((total, seconds) => total + seconds, 0);
  return sum * 1_000 - Math.min(nowMs - worker.beganMs, expected[0]! * 1_000);
}

/** The lease is given: where it is the only one, the worker begins with it. */
export function addLease(worker: WorkerState, { id }: LeaseState, nowMs: number): void {
  if (loadOf(worker) === 0) worker.beganMs = nowMs;
  worker.leases.add(id);
}

/** The lease is over, but its operation goes on where it was the first one: it may have begun. */
export function lingers(worker: WorkerState, lease: LeaseState, operation: OperationState): void {
  const [first] = worker.leases;
  if (first !== lease.id || worker.lingering) return;
  worker.lingering = { leaseId: lease.id, operation, expectedSeconds: lease.expectedSeconds };
}

/** The lease is over: where it was the first one and does not go on, the next one begins. */
export function removeLease(worker: WorkerState, { id }: LeaseState, nowMs: number): void {
  const [first] = worker.leases;
  worker.leases.delete(id);
  if (first === id && !worker.lingering) worker.beganMs = nowMs;
}

/** What went on without a lease has ended, or never began. */
export function lingersNoMore(worker: WorkerState, nowMs: number): void {
  worker.lingering = undefined;
  worker.beganMs = nowMs;
}
