/** How the operations of one scope stand, for people. Pure. */
import type { Digest, OperationKind } from "../../proto/operations.ts";
import { slownessOf } from "./durations.ts";
import { hasMemory, isBound } from "./fit.ts";
import type { Reissue } from "./reissues.ts";
import type { DispatchState, Need, ScopeState, WorkerState } from "./state.ts";
import { backoffOf, speedOf } from "./views.ts";
import { reasonOf } from "./waiting-reason.ts";

/** Leases that are shown of a scope. */
const MOST_LEASES = 100;

export interface LeaseView {
  readonly workerId: string;
  readonly kind: OperationKind;
  readonly fingerprint: Digest;
  readonly ageMs: number;
  /** Its worker's child works on it now, by the last heartbeat. */
  readonly isRunning: boolean;
}

/** A worker as one scope sees it. */
export interface ScopeWorkerView {
  readonly workerId: string;
  readonly deviceClass: string;
  readonly state: WorkerState["life"];
  readonly leases: number;
  /** Why it cannot compute for the scope; undefined where it can. */
  readonly unfit: string | undefined;
  /** What it takes, divided by what the workers take in the middle; undefined where nobody can compare. */
  readonly slowness: number | undefined;
  readonly tokensPerSecond: number | undefined;
}

export interface ScopeView {
  readonly deviceClass: string | undefined;
  /** Operations that wait for a worker. */
  readonly waiting: number;
  /** Why they wait although no worker is busy with them. */
  readonly waitingReason: string | undefined;
  /** The oldest ones. */
  readonly leases: readonly LeaseView[];
  readonly workers: readonly ScopeWorkerView[];
  readonly reissues: readonly (Reissue & { readonly agoMs: number })[];
}

/** A scope without operations, or none at all, is one that nobody works for. */
export function scopeView(
  state: DispatchState,
  name: string,
  { nowMs, reissues }: { readonly nowMs: number; readonly reissues: readonly Reissue[] },
): ScopeView {
  const scope = state.scopes.get(name);
  const operations = [...(scope?.operations ?? [])].map((key) => state.operations.get(key)!);
  const leases = operations
    .flatMap((operation) => [...operation.leases].map((id) => ({ operation, lease: state.leases.get(id)! })))
    .sort((a, b) => a.lease.id - b.lease.id)
    .slice(0, MOST_LEASES)
    .map(({ operation, lease }): LeaseView => {
      const worker = state.workers.get(lease.session)!;
      const { kind, fingerprint } = operation;
      const isRunning = worker.runningLease === lease.id;
      return { workerId: worker.workerId, kind, fingerprint, ageMs: nowMs - lease.grantedMs, isRunning };
    });
  const needs = operations.map(({ need }) => need);
  return {
    deviceClass: scope?.deviceClass,
    waiting: operations.filter((operation) => operation.leases.size === 0).length,
    waitingReason: reasonOf(state, name, nowMs),
    leases,
    workers: [...state.workers.values()].map((worker) => ({
      workerId: worker.workerId,
      deviceClass: worker.deviceClass,
      state: worker.life,
      leases: worker.leases.size,
      unfit: unfitness(state, worker, { scope, needs, nowMs }),
      slowness: slownessOf(state, worker.workerId),
      tokensPerSecond: speedOf(worker),
    })),
    reissues: reissues.map((each) => ({ ...each, agoMs: nowMs - each.atMs })),
  };
}

function unfitness(
  state: DispatchState,
  { workerId, life, heardMs, deviceClass, forms, memoryBytes }: WorkerState,
  wanted: {
    readonly scope: ScopeState | undefined;
    readonly needs: readonly Need[];
    readonly nowMs: number;
  },
): string | undefined {
  if (life === "draining") return "it is leaving";
  const silentMs = wanted.nowMs - heardMs;
  if (silentMs > state.settings.leaseMs) return `it was not heard of for ${Math.round(silentMs / 1_000)} s`;
  const backoff = backoffOf(state, workerId, wanted.nowMs);
  if (backoff && backoff.inMs > 0)
    return `it failed ${backoff.failures} times (${backoff.reason}), and gets a lease again in ${Math.ceil(backoff.inMs / 1_000)} s`;
  const { scope, needs } = wanted;
  if (scope && isBound(scope) && scope.deviceClass !== deviceClass) return `it is of class ${deviceClass}`;
  const missing = needs.find(({ form }) => !forms.includes(form));
  if (missing) return `it has no programs in the ${missing.form} form`;
  return needs.every((need) => hasMemory(memoryBytes, need.memoryBytes))
    ? undefined
    : "its memory is too small";
}
