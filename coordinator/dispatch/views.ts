import { slownessOf } from "./durations.ts";
import type { DispatchState, WorkerState } from "./state.ts";
import { type WaitingCause, waitingScopes } from "./waiting-reason.ts";

/** A connected worker, for people. */
export interface WorkerView {
  readonly workerId: string;
  readonly deviceClass: string;
  readonly state: WorkerState["life"];
  readonly leases: number;
  readonly credit: number;
  readonly checkpoints: readonly string[];
  /** Of its inference child; 0 where it does not say. */
  readonly memoryBytes: number;
  /** Of a second of its device's work since it joined, by its results; undefined before the first one. */
  readonly tokensPerSecond: number | undefined;
  /** Where it failed since it last finished an operation. */
  readonly backoff: Backoff | undefined;
}

export interface Backoff {
  readonly failures: number;
  readonly reason: string;
  /** Until it may have a lease again; 0: now, one at a time. */
  readonly inMs: number;
}

export const workerViews = (state: DispatchState, nowMs: number): WorkerView[] =>
  [...state.workers.values()].map(({ workerId, deviceClass, life, memoryBytes, ...worker }) => ({
    ...{ workerId, deviceClass, state: life, memoryBytes },
    leases: worker.leases.size,
    credit: worker.credit,
    checkpoints: [...worker.checkpoints],
    tokensPerSecond: speedOf(worker),
    backoff: backoffOf(state, workerId, nowMs),
  }));

/** Tokens of a second of its device's work; undefined before the first result. */
export const speedOf = ({ work }: Pick<WorkerState, "work">): number | undefined =>
  work.seconds > 0 ? work.tokens / work.seconds : undefined;

export function backoffOf({ flapping }: DispatchState, workerId: string, nowMs: number): Backoff | undefined {
  const known = flapping.get(workerId);
  if (known === undefined || known.failures < 2) return undefined;
  const { failures, reason, untilMs } = known;
  return { failures, reason, inMs: Math.max(0, untilMs - nowMs) };
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
export interface CoordinatorReadings {
  /** Operations that wait for a worker. */
  waiting(): number;
  leases(): number;
  workers(): Readonly<Record<"active" | "draining", number>>;
  /** Commands and jobs with operations that wait, by what they wait for. */
  waitingScopes(): Readonly<Record<WaitingCause, number>>;
  /** Of connected workers that had results. */
  speeds(): readonly WorkerSpeed[];
}

export interface WorkerSpeed {
  readonly workerId: string;
  readonly tokensPerSecond: number;
  /** What it takes, divided by what the workers take in the middle; undefined where nobody can compare. */
  readonly slowness: number | undefined;
}

export function readCluster(state: () => DispatchState, nowMs: () => number): CoordinatorReadings {
  return {
    waiting: () => [...state().lanes.values()].reduce((sum, { line }) => sum + line.length, 0),
    leases: () => state().leases.size,
    workers: () => {
      const counts = { active: 0, draining: 0 };
      for (const { life } of state().workers.values()) counts[life] += 1;
      return counts;
    },
    waitingScopes: () => waitingScopes(state(), nowMs()),
    speeds: () =>
      [...state().workers.values()].flatMap((worker) => {
        const tokensPerSecond = speedOf(worker);
        const { workerId } = worker;
        return tokensPerSecond === undefined
          ? []
          : [{ workerId, tokensPerSecond, slowness: slownessOf(state(), workerId) }];
      }),
  };
}
