import type { Digest } from "../../proto/operations.ts";
import { succeeded } from "./backoff.ts";
import { beginCheck, checkOf, endCheck, vote } from "./checks.ts";
import { measure, measuredAs } from "./durations.ts";
import type { EventOf, Verdict } from "./events.ts";
import { leave, serve } from "./fair-shares.ts";
import { fitsClass, isBound } from "./fit.ts";
import { lingersNoMore } from "./load.ts";
import { explainsNoLoss } from "./losses.ts";
import { noteGiven } from "./origins.ts";
import {
  addNeed,
  type DispatchState,
  type LeaseState,
  laneOf,
  type OperationKey,
  type OperationState,
  operationKey,
  scopeOf,
} from "./state.ts";
import {
  beginning,
  cancel,
  endLease,
  endLeases,
  fail,
  forget,
  heldBy,
  type Turn,
  wentWrong,
  workersNamed,
} from "./turn.ts";

/** More unaccepted results than any outbox holds. */
const MAX_OWED_ACCEPTS = 10_000;
const MAX_ABSENT_WORKERS = 1_000;
/** More trainings than go on at a time. */
const MAX_HELD_STATES = 1_000;

export function submitted(turn: Turn, { scope, terms, operations }: EventOf<"submitted">): void {
  const { state } = turn;
  for (const {
    fingerprint,
    checkpoint,
    state: begins,
    kind = "score",
    form = "primitive",
    memoryBytes = 0,
    early = [],
  } of operations) {
    const key = operationKey(scope, fingerprint);
    if (state.operations.has(key)) continue;
    const operation: OperationState = {
      key,
      scope,
      fingerprint,
      checkpoint,
      state: begins,
      kind,
      isCheck: false,
      need: { form, memoryBytes },
      measuredAs: measuredAs(checkpoint, kind, form),
      ...beginning(turn),
    };
    state.operations.set(key, operation);
    const scopeState = scopeOf(state, scope, terms);
    scopeState.operations.add(key);
    addNeed(scopeState, operation.need);
    scopeState.isAwaited = false;
    state.keysOf.set(fingerprint, (state.keysOf.get(fingerprint) ?? new Set()).add(key));
    const at = early.findIndex(({ deviceClass }) => fitOf(turn, operation, deviceClass) === "fits");
    if (at >= 0) answer(turn, operation, { ...early[at]!, early: at });
    else laneOf(state, scope, checkpoint).line.add(operation.order, key);
  }
}

export function withdrawn(turn: Turn, { keys, reason }: EventOf<"withdrawn">): void {
  for (const key of keys) withdraw(turn, key, reason);
}

export function scopeClosed(turn: Turn, { scope }: EventOf<"scope-closed">): void {
  for (const key of [...(turn.state.scopes.get(scope)?.operations ?? [])]) {
    withdraw(turn, key, "the command ended");
  }
  const known = turn.state.scopes.get(scope);
  if (!known) return;
  for (const key of [...known.checks]) endCheck(turn, turn.state.operations.get(key)!, "closed");
  leave(turn.state, scope, known);
  turn.state.scopes.delete(scope);
}

/**
 * A result, from whomever and whenever: the first valid one of the right device class answers every scope that waits for
 * it, and its sender may forget it, unless it comes too early to be judged.
 */
export function result(turn: Turn, event: EventOf<"result">): void {
  if (turn.state.expelled.has(event.workerId)) return;
  const keys = [...(turn.state.keysOf.get(event.fingerprint) ?? [])];
  for (const worker of workersNamed(turn, event.workerId))
    if (worker.lingering?.operation.fingerprint === event.fingerprint) {
      measure(turn.state, worker, worker.lingering.operation, turn.nowMs - worker.beganMs);
      lingersNoMore(worker, turn.nowMs);
    }
  if (event.verdict.kind === "valid" && keys.length > 0) {
    succeeded(turn.state, event.workerId);
    for (const { work } of workersNamed(turn, event.workerId)) {
      work.seconds += event.seconds ?? 0;
      work.tokens += event.tokens ?? 0;
    }
  }
  let isEarly = false;
  for (const key of keys) {
    // An earlier one of them may have shown that the sender lies.
    if (!turn.state.operations.has(key)) continue;
    if (event.verdict.kind !== "valid") rejectResult(turn, key, event.workerId, event.verdict);
    else if (takeResult(turn, key, event) === "early") isEarly = true;
  }
  if (event.state !== undefined && turn.decisions.some(({ kind }) => kind === "resolve")) {
    const { holders } = turn.state;
    holders.set(event.state, (holders.get(event.state) ?? new Set()).add(event.workerId));
    // Those of jobs that ended in the middle of a training are asked for by nobody.
    if (holders.size > MAX_HELD_STATES) holders.delete(holders.keys().next().value!);
  }
  if (!isEarly) accept(turn, event.workerId, event.fingerprint);
}

/**
 * Whether a scope takes results of a class. One that is bound to none yet takes no class that could not go on with it: `early` where nobody of it is there, `never`
 * where they cannot do all that the scope asks for.
 */
function fitOf({ state }: Turn, operation: OperationState, deviceClass: string): "fits" | "early" | "never" {
  const scope = scopeOf(state, operation.scope);
  if (!isBound(scope) && !isPresent(state, deviceClass)) return "early";
  return fitsClass(state, scope, deviceClass) ? "fits" : "never";
}

function takeResult(
  turn: Turn,
  key: OperationKey,
  { workerId, deviceClass, seconds, answers }: EventOf<"result">,
) {
  const operation = turn.state.operations.get(key)!;
  const lease = leaseOf(turn, operation, workerId);
  const fit = fitOf(turn, operation, deviceClass);
  if (fit === "never" && lease) wentWrong(turn, lease, `a result of device class ${deviceClass}`);
  if (fit === "fits") {
    if (lease) {
      const worker = turn.state.workers.get(lease.session)!;
      measure(turn.state, worker, operation, turn.nowMs - Math.max(lease.grantedMs, worker.beganMs));
      endLease(turn, lease, "result");
    }
    if (operation.isCheck) vote(turn, operation, workerId, answers?.get(key) ?? 0);
    else answer(turn, operation, { workerId, deviceClass, seconds });
  }
  return fit;
}

/** A result is what the operation's scope waits for. */
function answer(
  turn: Turn,
  operation: OperationState,
  {
    workerId,
    deviceClass,
    seconds = 0,
    early,
  }: {
    readonly workerId: string;
    readonly deviceClass: string;
    readonly seconds?: number | undefined;
    readonly early?: number;
  },
): void {
  const { state, decisions } = turn;
  const { key, fingerprint } = operation;
  const scope = scopeOf(state, operation.scope);
  scope.deviceClass = deviceClass;
  scope.isSettled = true;
  endLeases(turn, operation, { end: "overtaken", reason: "another result came first", letRun: true });
  // Nobody can have worked on it for longer than it is there, whatever a worker says.
  serve(state, scope, Math.min(Math.max(0, seconds), (turn.nowMs - operation.submittedMs) / 1_000));
  explainsNoLoss(state, operation);
  forget(turn, operation);
  if (operation.state !== undefined) state.holders.delete(operation.state);
  state.answered.add(fingerprint);
  if (state.settings.recheckRate === 0) {
    decisions.push({ kind: "resolve", key, ...(early === undefined ? {} : { early }) });
    return;
  }
  // What is asked for again while it is being checked has no check of its own: the open one says whether the answer that was used first is right, and nothing of others.
  const open = state.checks.get(checkOf(operation));
  const check = open ? undefined : beginCheck(turn, operation, workerId);
  const isChecked = open ? open.votes.get(workerId) === 0 : check !== undefined;
  noteGiven(scope.origins, { workerId, fingerprint, isChecked });
  decisions.push({
    ...{ kind: "resolve", key },
    ...(early === undefined ? {} : { early }),
    ...(check === undefined ? {} : { check }),
  });
}

export function released({ state }: Turn, { digest }: EventOf<"released">): void {
  state.holders.delete(digest);
}

/** Only who holds the lease can make an operation go wrong: others were judged before, or never asked. */
function rejectResult(
  turn: Turn,
  key: OperationKey,
  workerId: string,
  verdict: Exclude<Verdict, { kind: "valid" }>,
): void {
  const operation = turn.state.operations.get(key)!;
  const lease = leaseOf(turn, operation, workerId);
  if (!lease) return;
  switch (verdict.kind) {
    case "invalid":
      wentWrong(turn, lease, `invalid result: ${verdict.reason}`);
      break;
    case "error":
      // A check whose first answer was valid cannot be impossible.
      if (verdict.retryable || operation.isCheck) {
        wentWrong(turn, lease, verdict.message);
      } else {
        endLease(turn, lease, "failed");
        fail(turn, operation, verdict.message);
      }
  }
}

export function malformed(turn: Turn, { workerId, reason }: EventOf<"malformed">): void {
  for (const worker of workersNamed(turn, workerId)) {
    for (const lease of heldBy(turn, worker, worker.leases)) {
      cancel(turn, lease, "an unreadable result");
      wentWrong(turn, lease, reason);
    }
  }
}

/** Tells the worker at once, or, where it is away, when it comes back. */
function accept(turn: Turn, workerId: string, fingerprint: Digest): void {
  const { owedAccepts, expelled } = turn.state;
  if (expelled.has(workerId)) return;
  const [worker] = workersNamed(turn, workerId);
  if (worker) {
    turn.decisions.push({ kind: "accept", session: worker.session, fingerprint });
    return;
  }
  const owed = owedAccepts.get(workerId) ?? new Set();
  if (owed.size < MAX_OWED_ACCEPTS) owed.add(fingerprint);
  owedAccepts.set(workerId, owed);
  // Workers that never come back: the longest gone is forgotten first.
  if (owedAccepts.size > MAX_ABSENT_WORKERS) owedAccepts.delete(owedAccepts.keys().next().value!);
}

function withdraw(turn: Turn, key: OperationKey, reason: string): void {
  const operation = turn.state.operations.get(key);
  if (!operation) return;
  endLeases(turn, operation, { end: "withdrawn", reason });
  forget(turn, operation);
}

function isPresent(state: DispatchState, deviceClass: string): boolean {
  for (const worker of state.workers.values()) if (worker.deviceClass === deviceClass) return true;
  return false;
}

/** The lease that a worker has of an operation. */
function leaseOf({ state }: Turn, { leases }: OperationState, workerId: string): LeaseState | undefined {
  for (const id of leases) {
    const lease = state.leases.get(id)!;
    if (state.workers.get(lease.session)?.workerId === workerId) return lease;
  }
  return undefined;
}
