import { failed } from "./backoff.ts";
import type { EventOf } from "./events.ts";
import { lingersNoMore } from "./load.ts";
import { noteLoss, runningOn, wasNoLoss } from "./losses.ts";
import type { DispatchState, WorkerState } from "./state.ts";
import { cancel, endLease, fail, heldBy, requeue, type Turn, wentWrong, workersNamed } from "./turn.ts";

/** More than any worker's window; a broken one cannot make the number overflow. */
const MAX_CREDIT = 100_000;

export function joined(turn: Turn, event: EventOf<"joined">): void {
  const { state, nowMs, decisions } = turn;
  const { session, workerId, deviceClass, forms = ["primitive"], memoryBytes = 0, cachedCheckpoints } = event;
  const { incarnation = "" } = event;
  for (const older of workersNamed(turn, workerId)) {
    decisions.push({ kind: "disconnect", session: older.session, reason: "the worker dialled again" });
    const isSameProcess = incarnation !== "" && older.incarnation === incarnation;
    left(turn, { session: older.session, reason: "it dialled again", isSameProcess });
  }
  const worker: WorkerState = {
    session,
    workerId,
    incarnation,
    deviceClass,
    forms,
    memoryBytes,
    life: "active",
    credit: 0,
    writable: true,
    leases: new Set(),
    lingering: undefined,
    beganMs: nowMs,
    runningLease: 0,
    partsDone: 0,
    heardMs: nowMs,
    checkpoints: new Set(cachedCheckpoints),
    loaded: undefined,
    work: { seconds: 0, tokens: 0 },
    reservedFor: undefined,
  };
  state.workers.set(session, worker);
  wasNoLoss(state, worker);
  for (const fingerprint of state.owedAccepts.get(workerId) ?? []) {
    decisions.push({ kind: "accept", session, fingerprint });
  }
  state.owedAccepts.delete(workerId);
}

/** `isSameProcess`: the worker is there again already, so only its stream was lost. */
export function left(
  turn: Turn,
  {
    session,
    reason,
    isOrderly = false,
    isSameProcess = false,
  }: Omit<EventOf<"left">, "kind"> & { readonly isSameProcess?: boolean },
): void {
  const worker = turn.state.workers.get(session);
  if (!worker) return;
  turn.state.workers.delete(session);
  const ran = runningOn(turn.state, worker);
  if (!isOrderly) failed(turn, worker.workerId, reason);
  for (const lease of heldBy(turn, worker, worker.leases)) requeue(turn, lease, "lost");
  if (isOrderly || isSameProcess) return;
  const giveUp = noteLoss(turn.state, worker, { ran, reason });
  if (ran && giveUp !== undefined) fail(turn, ran, giveUp);
}

export function credit({ state }: Turn, { session, leases }: EventOf<"credit">): void {
  const worker = state.workers.get(session);
  if (worker) worker.credit = Math.min(MAX_CREDIT, worker.credit + leases);
}

export function writable({ state }: Turn, event: EventOf<"writable">): void {
  const worker = state.workers.get(event.session);
  if (worker) worker.writable = event.writable;
}

export function heartbeat(
  turn: Turn,
  { session, leaseIds, runningLeaseId, partsDone = 0 }: EventOf<"heartbeat">,
): void {
  const { leaseMs, longestLeaseMs } = turn.state.settings;
  const worker = turn.state.workers.get(session);
  if (!worker) return;
  worker.runningLease = runningLeaseId;
  if (worker.lingering && !leaseIds.includes(worker.lingering.leaseId)) lingersNoMore(worker, turn.nowMs);
  const goesOn = partsDone > worker.partsDone;
  worker.partsDone = partsDone;
  for (const lease of heldBy(turn, worker, leaseIds)) {
    if (goesOn && lease.id === runningLeaseId) lease.progressMs = turn.nowMs;
    lease.deadlineMs = Math.min(turn.nowMs + leaseMs, lease.progressMs + longestLeaseMs);
  }
}

export function draining(turn: Turn, { session, returnedLeaseIds }: EventOf<"draining">): void {
  const worker = turn.state.workers.get(session);
  if (!worker) return;
  worker.life = "draining";
  freeReservation(turn.state, worker);
  for (const lease of heldBy(turn, worker, returnedLeaseIds)) requeue(turn, lease, "returned");
}

/** Counts against the operation that ran, not against those that waited behind it: the worker still has them. */
export function childDied(turn: Turn, { session, leaseId, reason }: EventOf<"child-died">): void {
  const { state } = turn;
  const lease = state.leases.get(leaseId);
  const dying = state.workers.get(session);
  if (dying) failed(turn, dying.workerId, reason);
  if (dying?.lingering?.leaseId === leaseId) lingersNoMore(dying, turn.nowMs);
  if (lease?.session !== session) return;
  const operation = state.operations.get(lease.key)!;
  const { workerId } = state.workers.get(session)!;
  if (operation.isCheck) {
    wentWrong(turn, lease, reason);
    return;
  }
  operation.childDeaths += 1;
  operation.reasons.push(`on ${workerId}: ${reason}`);
  operation.avoid.add(workerId);
  if (operation.childDeaths < state.settings.maxChildDeaths) {
    requeue(turn, lease, "child-died");
    return;
  }
  endLease(turn, lease, "child-died");
  const deaths = `the inference process died ${operation.childDeaths} times while it ran`;
  fail(turn, operation, `${deaths} (${operation.reasons.join("; ")})`);
}

/** Takes back leases that nobody renewed, and lets go of workers that are kept free but silent. */
export function tick(turn: Turn): void {
  const { state, nowMs } = turn;
  for (const worker of state.workers.values()) {
    if (nowMs - worker.heardMs > state.settings.leaseMs) freeReservation(state, worker);
  }
  for (const lease of [...state.leases.values()]) {
    if (lease.deadlineMs > nowMs) continue;
    cancel(turn, lease, "the lease expired");
    requeue(turn, lease, "expired");
  }
}

/** Lets an operation go to another worker that this one was kept free for. */
function freeReservation({ operations }: DispatchState, worker: WorkerState): void {
  const operation = worker.reservedFor === undefined ? undefined : operations.get(worker.reservedFor);
  if (operation === undefined || operation.leases.size === 0) worker.reservedFor = undefined;
}
