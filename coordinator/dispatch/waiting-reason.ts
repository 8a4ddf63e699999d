/** Why operations wait although nobody works on their scope: for people and metrics. Pure. */
import { activeOf, canDo, fitsClass, isBound } from "./fit.ts";
import type { DispatchState, Lane, Need, OperationState, ScopeState, WorkerState } from "./state.ts";

/** What a scope waits for; `turn`: a worker that is busy with something else, or its own. */
const WAITING_CAUSES = [
  "turn",
  "no-worker",
  "class-gone",
  "form",
  "memory",
  "class-split",
  "backoff",
  "undecided",
] as const;
export type WaitingCause = (typeof WAITING_CAUSES)[number];

interface Waiting {
  readonly cause: WaitingCause;
  readonly reason: string;
}

/** How many scopes have operations that wait, by what they wait for. */
export function waitingScopes(state: DispatchState, nowMs: number): Record<WaitingCause, number> {
  const counts = Object.fromEntries(WAITING_CAUSES.map((cause) => [cause, 0])) as Record<
    WaitingCause,
    number
  >;
  const inLine = new Set([...state.lanes.values()].map(({ scope }) => scope));
  for (const [name, { checks }] of state.scopes) {
    if (!inLine.has(name) && checks.size === 0) continue;
    const waiting = waitingOf(state, name, nowMs);
    if (waiting) counts[waiting.cause] += 1;
    else if (inLine.has(name)) counts.turn += 1;
  }
  return counts;
}

/** In one line, of the first scope that has a reason; undefined where all that waits only waits for its turn, or nothing does. */
export function waitingReason(state: DispatchState, nowMs: number): string | undefined {
  for (const scope of new Set([...state.checks.keys()].map((key) => state.operations.get(key)!.scope))) {
    const undecided = undecidedOf(state, scope);
    if (undecided !== undefined) return undecided.reason;
  }
  for (const { scope } of state.lanes.values()) {
    const reason = reasonOf(state, scope, nowMs);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** The same of one scope. */
export const reasonOf = (state: DispatchState, name: string, nowMs: number): string | undefined =>
  waitingOf(state, name, nowMs)?.reason;

/** Undefined where it only waits for its turn, or not at all. */
function waitingOf(state: DispatchState, name: string, nowMs: number): Waiting | undefined {
  const scope = state.scopes.get(name);
  const undecided = undecidedOf(state, name);
  if (undecided !== undefined) return undecided;
  const lanes = [...state.lanes.values()].filter((lane) => lane.scope === name);
  if (!scope || lanes.length === 0) return undefined;
  const workers = activeOf(state);
  if (workers.length === 0) return { cause: "no-worker", reason: "no worker is connected" };
  const deviceClass = isBound(scope) ? scope.deviceClass : undefined;
  const fitting = activeOf(state, deviceClass);
  if (fitting.length === 0) {
    const present = [...new Set(workers.map((worker) => worker.deviceClass))].join(", ");
    const reason = `it was begun on device class ${deviceClass}, and only ${present} is connected`;
    return { cause: "class-gone", reason };
  }
  return (
    lackOf(state, scope, lanes, fitting) ??
    splitOf(state, scope, fitting) ??
    backoffOf(state, scope, fitting, nowMs)
  );
}

/** All that could do it failed again and again. */
function backoffOf(
  { flapping }: DispatchState,
  scope: ScopeState,
  workers: readonly WorkerState[],
  nowMs: number,
): Waiting | undefined {
  const able = workers.filter((worker) => [...scope.needs.values()].some((need) => canDo(worker, need)));
  const known = able.map(({ workerId }) => ({ workerId, ...flapping.get(workerId) }));
  const next = known.reduce((a, b) => ((b.untilMs ?? 0) < (a.untilMs ?? 0) ? b : a));
  const { workerId, failures, untilMs = 0, reason: last } = next;
  if (untilMs <= nowMs) return undefined;
  const count = able.length === 1 ? "the one worker" : `all ${able.length} workers`;
  const reason = `${count} that could do it failed again and again: ${workerId} ${failures} times without finishing anything (${last}), and gets a lease again in ${Math.ceil((untilMs - nowMs) / 1_000)} s`;
  return { cause: "backoff", reason };
}

/** Workers that stand against each other while no other one can decide. */
function undecidedOf(state: DispatchState, name: string): Waiting | undefined {
  const scope = state.scopes.get(name);
  for (const key of scope?.checks ?? []) {
    const { votes } = state.checks.get(key)!;
    const { leases } = state.operations.get(key)!;
    if (votes.size < 2 || leases.size > 0) continue;
    if (activeOf(state, scope?.deviceClass).some(({ workerId }) => !votes.has(workerId))) continue;
    const reason = `workers ${[...votes.keys()].join(" and ")} gave different results for one operation, and no other worker of their device class, ${scope?.deviceClass}, is there to decide`;
    return { cause: "undecided", reason };
  }
  return undefined;
}

/** What none of these workers has. */
function lackOf(
  { operations }: DispatchState,
  scope: ScopeState,
  lanes: readonly Lane[],
  workers: readonly WorkerState[],
): Waiting | undefined {
  const ofClass = isBound(scope) ? ` of its device class, ${scope.deviceClass},` : "";
  const isLacking = (need: Need): boolean => !workers.some((worker) => canDo(worker, need));
  const waiting = lanes.flatMap(({ line }) => line.keys.map((key) => operations.get(key)!));
  const stuck = waiting.find(({ need }) => isLacking(need));
  const need = stuck?.need ?? (isBound(scope) ? undefined : [...scope.needs.values()].find(isLacking));
  if (need === undefined) return undefined;
  const formed = workers.filter(({ forms }) => forms.includes(need.form));
  if (formed.length > 0) return { cause: "memory", reason: memoryLack(need, stuck, formed, ofClass) };
  const reason = `it needs programs in the ${need.form} form, which no connected worker${ofClass} has`;
  return { cause: "form", reason };
}

function memoryLack(
  { memoryBytes }: Need,
  operation: OperationState | undefined,
  workers: readonly WorkerState[],
  ofClass: string,
): string {
  const of = operation && ` for a ${operation.kind} of checkpoint ${operation.checkpoint.slice(0, 12)}`;
  const largest = workers.reduce((a, b) => (b.memoryBytes > a.memoryBytes ? b : a));
  const has = `the largest connected worker${ofClass} with its form, ${largest.workerId}, has ${inGigabytes(largest.memoryBytes)}`;
  return `it needs about ${inGigabytes(memoryBytes)} of memory${of ?? ""}, and ${has}`;
}

/** Each of its operations could be done, but all of them by no single class. */
function splitOf(
  state: DispatchState,
  scope: ScopeState,
  workers: readonly WorkerState[],
): Waiting | undefined {
  if (workers.some(({ deviceClass }) => fitsClass(state, scope, deviceClass))) return undefined;
  const needs = [...scope.needs.values()].map(({ form, memoryBytes }) =>
    memoryBytes === 0 ? `the ${form} form` : `the ${form} form in ${inGigabytes(memoryBytes)}`,
  );
  const reason = `all of it must be computed by one device class, and no connected one has all of: ${needs.join(", ")}`;
  return { cause: "class-split", reason };
}

const inGigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 1)} GB`;
