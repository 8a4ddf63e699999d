/**
 * Re-checks: some of the results that were used are computed a second time, by another worker of the same device class. Where the two differ, a third
 * worker decides, and who was wrong is expelled. Pure.
 */
import { digestOf } from "../../proto/canonical-json.ts";
import type { Digest } from "../../proto/operations.ts";
import { isExact } from "./agree.ts";
import { assignTo, canTakeLease } from "./assign.ts";
import type { CheckOutcome, Decision } from "./events.ts";
import { expel } from "./expel.ts";
import { anyActive, canDo } from "./fit.ts";
import { loadOf } from "./load.ts";
import { noteChecked } from "./origins.ts";
import type { CheckState, DispatchState, OperationKey, OperationState, WorkerState } from "./state.ts";
import { beginning, endLeases, forget, type Turn } from "./turn.ts";

/** Checks that wait at most; beyond, they go before fresh work. Each holds a result. */
const MAX_CHECKS = 256;

/** Whether the result of an operation is to be computed again: a draw by the fingerprint that workers cannot foresee. */
export function isDrawn({ settings }: DispatchState, fingerprint: Digest): boolean {
  const { recheckRate, recheckSeed } = settings;
  if (recheckRate === 0 || recheckRate === 1) return recheckRate === 1;
  const drawn = Number.parseInt(digestOf(`${recheckSeed}/${fingerprint}`).slice(0, 13), 16);
  return drawn / 2 ** 52 < recheckRate;
}

/** The key of an operation's check. */
export const checkOf = ({ key }: Pick<OperationState, "key">): OperationKey => `check/${key}`;

/** Begins to check what an operation was answered with, where another worker is there that could. */
export function beginCheck(turn: Turn, answered: OperationState, workerId: string): OperationKey | undefined {
  const { state } = turn;
  const { scope, fingerprint } = answered;
  if (!isComparable(state, answered) || !isDrawn(state, fingerprint)) return undefined;
  const check: CheckState = { votes: new Map([[workerId, 0]]) };
  const key = checkOf(answered);
  // Whoever has the state of a training run is the one that gave it: it draws no check to itself.
  const operation = { ...answered, ...beginning(turn), key, isCheck: true, state: undefined };
  if (!anyActive(state, undefined, ableTo(state, operation, check))) return undefined;
  state.operations.set(key, operation);
  state.checks.set(key, check);
  state.scopes.get(scope)!.checks.add(key);
  state.keysOf.set(fingerprint, (state.keysOf.get(fingerprint) ?? new Set()).add(key));
  return key;
}

/** Where a class rounds differently every time, the weights after some steps of a training run come out as others: nobody could tell a lie from that. */
const isComparable = ({ scopes }: DispatchState, { kind, scope }: OperationState): boolean =>
  kind !== "train-run" || isExact(scopes.get(scope)!.deviceClass!);

/** Another worker's result: `answer` is the number of the first answer that it agrees with, or of a new one. The first one was used. */
export function vote(turn: Turn, operation: OperationState, workerId: string, answer: number): void {
  const check = turn.state.checks.get(operation.key)!;
  const before = check.votes.get(workerId);
  if (before !== undefined && before !== answer) {
    const { kind, fingerprint } = operation;
    expel(turn, workerId, `it gave two different results of operation ${kind} ${fingerprint.slice(0, 12)}`);
    return;
  }
  if (before !== undefined) return;
  check.votes.set(workerId, answer);
  const right = majorityOf(check);
  if (right === undefined) {
    turn.decisions.push({ kind: "disagreed", key: operation.key, workers: [...check.votes.keys()] });
    return;
  }
  const liars = [...check.votes].filter(([, given]) => given !== right).map(([worker]) => worker);
  if (right === 0) noteChecked(turn.state.scopes.get(operation.scope)!.origins, operation.fingerprint, true);
  endCheck(turn, operation, right === 0 ? "equal" : "different");
  const others = [...check.votes].filter(([, given]) => given === right).map(([worker]) => worker);
  for (const liar of liars)
    expel(
      turn,
      liar,
      `its result of operation ${operation.kind} ${operation.fingerprint.slice(0, 12)} is another one than that of ${others.join(" and ")}`,
    );
}

/** The answer that two workers gave. */
function majorityOf({ votes }: CheckState): number | undefined {
  const seen = new Set<number>();
  for (const answer of votes.values()) {
    if (seen.has(answer)) return answer;
    seen.add(answer);
  }
  return undefined;
}

export function endCheck(turn: Turn, operation: OperationState, outcome: CheckOutcome): void {
  endLeases(turn, operation, { end: "overtaken", reason: "the check is over", letRun: true });
  forget(turn, operation);
  turn.decisions.push({ kind: "check-ended", key: operation.key, outcome });
}

/**
 * Gives checks to workers. Those that somebody waits for, that workers disagree about, or that wait for long, go before fresh work; the others go to
 * workers that have nothing else to do. One that nobody can do any more is given up, unless two answers stand against each other.
 */
export function assignChecks(state: DispatchState, nowMs: number, which: "urgent" | "idle"): Decision[] {
  const turn: Turn = { state, nowMs, decisions: [] };
  if (state.draining) return turn.decisions;
  const isUrgent = which === "urgent";
  const isFree = (worker: WorkerState): boolean =>
    canTakeLease(state, worker, nowMs) &&
    worker.reservedFor === undefined &&
    (isUrgent || loadOf(worker) === 0);
  let free: WorkerState[] | undefined;
  for (const [key, check] of state.checks) {
    const operation = state.operations.get(key)!;
    if (operation.leases.size > 0 || goesFirst(state, operation, nowMs) !== isUrgent) continue;
    free ??= [...state.workers.values()].filter(isFree);
    const able = ableTo(state, operation, check);
    const fitting = free.filter(
      (worker) => able(worker) && (isUrgent || worker.checkpoints.has(operation.checkpoint)),
    );
    if (fitting.length > 0) {
      const worker = fitting.reduce((a, b) => (loadOf(b) < loadOf(a) ? b : a));
      turn.decisions.push(assignTo(state, worker, operation, nowMs));
      if (!isFree(worker)) free.splice(free.indexOf(worker), 1);
    } else if (check.votes.size === 1 && !anyActive(state, undefined, able))
      endCheck(turn, operation, "impossible");
  }
  return turn.decisions;
}

function goesFirst(
  { checks, scopes, settings }: DispatchState,
  { key, scope, waitingSinceMs }: OperationState,
  nowMs: number,
): boolean {
  return (
    checks.size > MAX_CHECKS ||
    checks.get(key)!.votes.size > 1 ||
    scopes.get(scope)!.isAwaited ||
    nowMs - waitingSinceMs > settings.recheckAfterMs
  );
}

/** Whether a worker could do the operation and gave no answer yet; one on which it went wrong only where it did on all such. */
function ableTo(
  state: DispatchState,
  { scope, need, avoid }: OperationState,
  { votes }: CheckState,
): (worker: WorkerState) => boolean {
  const { deviceClass } = state.scopes.get(scope)!;
  const could = (worker: WorkerState): boolean =>
    worker.deviceClass === deviceClass && canDo(worker, need) && !votes.has(worker.workerId);
  const good = (worker: WorkerState): boolean => could(worker) && !avoid.has(worker.workerId);
  return avoid.size > 0 && anyActive(state, deviceClass, good) ? good : could;
}
