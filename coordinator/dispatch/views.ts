import type { CoordinatorReadings } from "../http/coordinator-metrics.ts";
import type { DispatchState, WorkerState } from "./state.ts";

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

/** Why operations wait although nobody works on their scope, in one line; undefined where none does. */
export function waitingReason(state: DispatchState): string | undefined {
  if (state.lanes.size === 0) return undefined;
  const workers = [...state.workers.values()].filter(({ life }) => life === "active");
  if (workers.length === 0) return "no worker is connected";
  for (const { scope } of state.lanes.values()) {
    const wanted = state.scopes.get(scope)?.deviceClass;
    if (wanted === undefined || workers.some(({ deviceClass }) => deviceClass === wanted)) continue;
    const present = [...new Set(workers.map(({ deviceClass }) => deviceClass))].join(", ");
    return `it was begun on device class ${wanted}, and only ${present} is connected`;
  }
  return undefined;
}

/** The numbers that metrics show, as they are when read. */
export function readCluster(state: () => DispatchState): CoordinatorReadings {
  return {
    waiting: () => state().operations.size - state().leases.size,
    leases: () => state().leases.size,
    workers: () => {
      const counts = { active: 0, draining: 0 };
      for (const { life } of state().workers.values()) counts[life] += 1;
      return counts;
    },
  };
}
