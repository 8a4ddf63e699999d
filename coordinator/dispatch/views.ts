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
