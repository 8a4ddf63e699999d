import type { Digest } from "../../proto/operations.ts";
import { mostLeases } from "./backoff.ts";
import { expectation } from "./durations.ts";
import type { Decision, DecisionOf } from "./events.ts";
import { byNeed, due, expectWork, type Standing } from "./fair-shares.ts";
import { couldDo, fitsClass } from "./fit.ts";
import { addLease, loadOf, remainingMs } from "./load.ts";
import { isSuspect } from "./losses.ts";
import type { DispatchState, Lane, OperationState, WorkerState } from "./state.ts";

/** Of an operation where none was measured: so little that leases are given by credit alone. */
const UNKNOWN_MS = 1;

/**
 * Gives waiting operations to workers: always to the one with the fewest leases, until nobody who is free can take any.
 * Which operation a worker gets is `choose`'s matter.
 */
export function assign(state: DispatchState, nowMs: number): Decision[] {
  const decisions: Decision[] = [];
  if (state.draining || state.lanes.size === 0) return decisions;
  const lanesOf = lanesByClass(state);
  const free = [...state.workers.values()].filter(
    (worker) =>
      (worker.reservedFor !== undefined || lanesOf(worker.deviceClass).length > 0) &&
      canTakeLease(state, worker, nowMs),
  );
  let afterMs = Number.POSITIVE_INFINITY;
  while (free.length > 0 && state.lanes.size > 0) {
    const worker = free.reduce((a, b) => (loadOf(b) < loadOf(a) ? b : a));
    const earlyMs = tooEarlyMs(state, worker, nowMs);
    afterMs = Math.min(afterMs, earlyMs > 0 ? earlyMs : afterMs);
    const operation = earlyMs > 0 ? undefined : choose(state, worker, { nowMs, lanesOf });
    if (operation) decisions.push(assignTo(state, worker, operation, nowMs));
    if (!operation || !canTakeLease(state, worker, nowMs)) free.splice(free.indexOf(worker), 1);
  }
  // Whoever is looked at a little late has work until then.
  if (afterMs < Number.POSITIVE_INFINITY)
    decisions.push({ kind: "look-again", afterMs: Math.max(afterMs, state.settings.aheadMs / 4) });
  return decisions;
}

/** Lanes whose scopes go to a class, looked for once for all workers of it: none is added while leases are given. */
function lanesByClass(state: DispatchState): (deviceClass: string) => readonly Lane[] {
  const known = new Map<string, readonly Lane[]>();
  return (deviceClass) => {
    const lanes =
      known.get(deviceClass) ??
      [...state.lanes.values()].filter(({ scope }) =>
        fitsClass(state, state.scopes.get(scope)!, deviceClass),
      );
    known.set(deviceClass, lanes);
    return lanes;
  };
}

/** A worker that was not heard for a lease's length is spared: what it got would expire. */
export function canTakeLease(state: DispatchState, worker: WorkerState, nowMs: number): boolean {
  return (
    worker.life === "active" &&
    worker.credit > 0 &&
    worker.writable &&
    nowMs - worker.heardMs <= state.settings.leaseMs &&
    loadOf(worker) < mostLeases(state, worker.workerId, nowMs)
  );
}

/**
 * Leases are given ahead so that no worker waits for a message, and no further: what waits behind a long operation would come late, whoever's turn it is.
 * Milliseconds until the worker may have one more.
 */
function tooEarlyMs(state: DispatchState, worker: WorkerState, nowMs: number): number {
  return Math.max(0, remainingMs(state, worker, nowMs) - state.settings.aheadMs);
}

/**
 * The operation that a worker should have next. Of those whose turn it is: one that waited too long while nobody has its checkpoint loaded; else one of
 * the checkpoint that this worker has loaded; else of one in its cache; else any. Of these, that of whoever was served least; then the oldest.
 */
function choose(
  state: DispatchState,
  worker: WorkerState,
  { nowMs, lanesOf }: { readonly nowMs: number; readonly lanesOf: ReturnType<typeof lanesByClass> },
): OperationState | undefined {
  if (worker.reservedFor !== undefined) {
    const operation = state.operations.get(worker.reservedFor)!;
    if (fitsClass(state, state.scopes.get(operation.scope)!, worker.deviceClass))
      return operation.leases.size === 0 && loadOf(worker) === 0 ? operation : undefined;
    // Meanwhile its scope got results of another class.
    worker.reservedFor = undefined;
  }
  const possible: OperationState[] = [];
  for (const lane of lanesOf(worker.deviceClass)) {
    const operation = firstFor(state, lane, worker, nowMs);
    if (operation) possible.push(operation);
  }
  if (possible.length === 0) return undefined;
  const loaded = loadedCheckpoints(state);
  let first: Standing | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const standing of due(state, possible)) {
    const { checkpoint, waitingSinceMs } = standing.operation;
    const starves = nowMs - waitingSinceMs > state.settings.affinityMs;
    const rank = starves && !loaded.has(checkpoint) ? 0 : rankOf(checkpoint, worker);
    if (rank < bestRank || (rank === bestRank && byNeed(standing, first!) < 0)) {
      first = standing;
      bestRank = rank;
    }
  }
  const best = first?.operation;
  if (best && needsWholeWorker(state, best) && loadOf(worker) > 0) {
    // It gets nothing more until its other leases are done; then it gets this operation.
    worker.reservedFor = best.key;
    return undefined;
  }
  return best;
}

function rankOf(checkpoint: Digest, worker: WorkerState): number {
  if (checkpoint === worker.loaded) return 1;
  return worker.checkpoints.has(checkpoint) ? 2 : 3;
}

/** Checkpoints whose operations go on without anybody's changing over. */
function loadedCheckpoints({ workers, lanes }: DispatchState): ReadonlySet<Digest | undefined> {
  if (lanes.size < 2) return new Set();
  return new Set([...workers.values()].map(({ life, loaded }) => (life === "active" ? loaded : undefined)));
}

/** The lane's first operation that this worker may have. */
function firstFor(
  state: DispatchState,
  lane: Lane,
  worker: WorkerState,
  nowMs: number,
): OperationState | undefined {
  for (const key of lane.line.keys) {
    const operation = state.operations.get(key)!;
    if (!couldDo(state, operation, worker)) continue;
    if (needsWholeWorker(state, operation) && isReserved(state, operation)) continue;
    if (waitsForAnother(state, operation, worker, nowMs)) continue;
    return operation;
  }
  return undefined;
}

/**
 * An operation that goes on from a state is left to a worker that has it, for a while: a state is three times as large as the model. Who
 * gets it changes no bit.
 */
function waitsForAnother(
  { workers, holders, settings }: DispatchState,
  { state, avoid, waitingSinceMs }: OperationState,
  worker: WorkerState,
  nowMs: number,
): boolean {
  const having = state === undefined ? undefined : holders.get(state);
  if (having === undefined || having.has(worker.workerId)) return false;
  if (nowMs - waitingSinceMs > settings.affinityMs) return false;
  for (const { life, heardMs, deviceClass, workerId } of workers.values()) {
    const isThere = life === "active" && nowMs - heardMs <= settings.leaseMs;
    if (isThere && having.has(workerId) && deviceClass === worker.deviceClass && !avoid.has(workerId))
      return true;
  }
  return false;
}

/** Little is missing until the operation is given up for what it does to its workers, so nothing else may be the cause. */
export function needsWholeWorker({ settings }: DispatchState, operation: OperationState): boolean {
  const { childDeaths } = operation;
  return (childDeaths > 0 && childDeaths === settings.maxChildDeaths - 1) || isSuspect(operation);
}

function isReserved({ workers }: DispatchState, { key }: OperationState): boolean {
  for (const worker of workers.values()) if (worker.reservedFor === key) return true;
  return false;
}

/** A lease of an operation that waits, or one more of an operation that has one. */
export function assignTo(
  state: DispatchState,
  worker: WorkerState,
  operation: OperationState,
  nowMs: number,
): DecisionOf<"lease"> {
  const { leaseMs } = state.settings;
  const { key, fingerprint, checkpoint, scope } = operation;
  const leaseId = ++state.lastLease;
  const scopeState = state.scopes.get(scope)!;
  const expected = (expectation(state, operation)?.on(worker) ?? UNKNOWN_MS) / 1_000;
  expectWork(state, scopeState, expected);
  const lease = {
    id: leaseId,
    key,
    session: worker.session,
    grantedMs: nowMs,
    expectedSeconds: expected,
    progressMs: nowMs,
    deadlineMs: nowMs + leaseMs,
  };
  state.leases.set(leaseId, lease);
  operation.leases.add(leaseId);
  addLease(worker, lease, nowMs);
  worker.credit -= 1;
  worker.loaded = checkpoint;
  worker.checkpoints.add(checkpoint);
  if (needsWholeWorker(state, operation)) worker.reservedFor = key;
  scopeState.leases += 1;
  scopeState.deviceClass = worker.deviceClass;
  removeFromLane(state, operation);
  return { kind: "lease", session: worker.session, leaseId, key, fingerprint, leaseMs };
}

/** Takes an operation out of its lane, and an empty lane out of the state. */
export function removeFromLane(state: DispatchState, { scope, checkpoint, order }: OperationState): void {
  const id = `${scope}/${checkpoint}`;
  const lane = state.lanes.get(id);
  lane?.line.remove(order);
  if (lane?.line.length === 0) state.lanes.delete(id);
}
