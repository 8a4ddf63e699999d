import type { CoordinatorReadings } from "../http/coordinator-metrics.ts";
import type { DispatchState, OperationKey, WorkerState } from "./state.ts";

/** A connected worker, for people. */
export interface WorkerView {
  readonly workerId: string;
  readonly deviceClass: string;
  readonly state: WorkerState["life"];
  readonly leases: number;
  readonly credit: number;
  readonly checkpoints: readonly string[];
}

export function workerViews(state: DispatchState): WorkerView[] {
  return [...state.workers.values()].map(({ workerId, deviceClass, life, leases, credit, checkpoints }) => ({
    workerId,
    deviceClass,
    state: life,
    leases: leases.size,
    credit,
    checkpoints: [...checkpoints],
  }));
}

/** What sweeps and commands with open executors were served, for people and tests. */
export interface ShareView {
  /** A sweep's name; of a command, what nobody else is called. */
  readonly group: string;
  readonly weight: number;
  readonly priority: number;
  /** Its jobs that are being worked on. */
  readonly scopes: number;
  /** Seconds of work in its results that were used, since its first executor was made. */
  readonly workSeconds: number;
  /** Operations that wait or have leases. */
  readonly operations: number;
}

export function shareViews({ groups, scopes }: DispatchState): ShareView[] {
  return [...groups.values()].map(({ share, scopes: open, workSeconds }) => ({
    ...share,
    scopes: open.size,
    workSeconds,
    operations: [...open].reduce((sum, scope) => sum + scopes.get(scope)!.operations.size, 0),
  }));
}

/** Why operations wait although nobody works on their scope, in one line; undefined where none does. */
export function waitingReason(state: DispatchState): string | undefined {
  if (state.lanes.size === 0) return undefined;
  const workers = [...state.workers.values()].filter(({ life }) => life === "active");
  if (workers.length === 0) return "no worker is connected";
  for (const { scope, line } of state.lanes.values()) {
    const wanted = state.scopes.get(scope)?.deviceClass;
    const fitting = workers.filter(({ deviceClass }) => wanted === undefined || deviceClass === wanted);
    if (fitting.length > 0) {
      const form = formThatNoneHas(state, line.keys, fitting);
      if (form === undefined) continue;
      const ofClass = wanted === undefined ? "" : ` of its device class, ${wanted},`;
      return `it needs programs in the ${form} form, which no connected worker${ofClass} has`;
    }
    const present = [...new Set(workers.map(({ deviceClass }) => deviceClass))].join(", ");
    return `it was begun on device class ${wanted}, and only ${present} is connected`;
  }
  return undefined;
}

/** The form of the first operation, where these workers lack it. */
function formThatNoneHas(
  { operations }: DispatchState,
  keys: Iterable<OperationKey>,
  workers: readonly WorkerState[],
): string | undefined {
  for (const key of keys) {
    const { form } = operations.get(key)!;
    return workers.some(({ forms }) => forms.includes(form)) ? undefined : form;
  }
  return undefined;
}

/** The numbers that metrics show, as they are when read. */
export function readCluster(state: () => DispatchState): CoordinatorReadings {
  return {
    waiting: () => [...state().lanes.values()].reduce((sum, { line }) => sum + line.length, 0),
    leases: () => state().leases.size,
    workers: () => {
      const counts = { active: 0, draining: 0 };
      for (const { life } of state().workers.values()) counts[life] += 1;
      return counts;
    },
  };
}
