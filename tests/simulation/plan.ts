/** What a seed stands for: a cluster, sweeps, what users do, and what goes wrong when. */

import type { JobPhase } from "../../coordinator/sweep/job-state.ts";
import type { JobSpec, SweepSpec } from "../../coordinator/sweep/sweep.ts";
import { FAULTS, type FaultName } from "./faults.ts";
import type { Random } from "./random.ts";
import type { Script } from "./scripted-job.ts";
import type { StoreKind } from "./virtual-store.ts";

export interface PlannedWorker {
  readonly id: string;
  /** Its class of device. */
  readonly hardware: string;
  /** Leases that it asks for at once. */
  readonly window: number;
  /** What its operations take, as a multiple. */
  readonly slowness: number;
}

/** What a user does: again and again until it is acknowledged. */
export type UserAct =
  | { readonly kind: "submit"; readonly at: number; readonly spec: SweepSpec }
  | { readonly kind: "cancel"; readonly at: number; readonly sweep: string }
  /** Says that what a job found after its searches' first steps was wrong, or, where it is done, that it may be. */
  | { readonly kind: "take back"; readonly at: number; readonly sweep: string; readonly job?: string }
  | { readonly kind: "retry"; readonly at: number; readonly sweep: string; readonly fresh: boolean };

export interface Plan {
  readonly store: StoreKind;
  /** Which way results go. */
  readonly way: "stream" | "broker";
  readonly coordinators: number;
  readonly workers: readonly PlannedWorker[];
  /** Jobs at a time. */
  readonly limit: number;
  /** Records after which the log is shortened. */
  readonly snapshotEvery: number;
  readonly acts: readonly UserAct[];
  /** What is done when a job of the sweep comes into a phase; at most once. */
  readonly actsAt: readonly { readonly phase: JobPhase; readonly afterMs: number; readonly act: UserAct }[];
  /** Sweeps whose jobs may end cancelled. */
  readonly cancelled: ReadonlySet<string>;
  readonly faults: readonly { readonly at: number; readonly name: FaultName }[];
  /** All sweeps have one priority, and no operation kills children, which come back after a while that grows. */
  readonly waitsAreBounded: boolean;
  /** Share of the results that are computed a second time. Only where there is one do workers lie. */
  readonly recheckRate: number;
  /** From here on nothing goes wrong any more. */
  readonly calmFrom: number;
}

/** Salts of `answers.ts` by hardware: two classes, whose results differ. */
export const SALTS: Readonly<Record<string, number>> = { red: 1, blue: 2 };

const CALM_FROM_MS = 6_000;
/** Faults of a run: none, some, many. */
const FAULT_COUNTS = [0, 3, 6, 9, 12, 16];

export function planOf(random: Random): Plan {
  const cluster = random.branch("cluster");
  const recheckRate = cluster.chance(0.22) ? cluster.pick([0.5, 1]) : 0;
  const hardware = recheckRate === 0 && cluster.chance(0.35) ? ["red", "blue"] : ["red"];
  // Where one lies, two others must be there to say so.
  const fewest = recheckRate === 0 ? hardware.length : 3;
  const workers = Array.from({ length: cluster.int(fewest, 4) }, (_, k) => ({
    id: `w${k}`,
    hardware: hardware[k % hardware.length]!,
    window: cluster.int(1, 4),
    slowness: cluster.chance(0.1) ? 4 : 1 + cluster.number(),
  }));
  const store = cluster.chance(0.5) ? "replicated" : "embedded";
  const acts = actsOf(random.branch("users"));
  const actsAt = actsAtOf(acts, random.branch("users who watch"));
  return {
    store,
    way: cluster.chance(0.4) ? "broker" : "stream",
    coordinators: store === "replicated" ? cluster.int(2, 3) : 1,
    workers,
    limit: cluster.int(1, 3),
    snapshotEvery: cluster.pick([5, 15, 1_000]),
    acts,
    actsAt,
    cancelled: new Set(
      [...acts, ...actsAt.map(({ act }) => act)].flatMap((act) => (act.kind === "cancel" ? [act.sweep] : [])),
    ),
    faults: faultsOf(random.branch("faults"), recheckRate > 0),
    recheckRate,
    waitsAreBounded: waitsAreBounded(acts),
    calmFrom: CALM_FROM_MS,
  };
}

function actsOf(random: Random): UserAct[] {
  const acts: UserAct[] = [];
  const sweeps = random.chance(0.5) ? 1 : 2;
  const poisoned = random.chance(0.4) ? random.int(0, sweeps - 1) : -1;
  for (let k = 0; k < sweeps; k++) {
    const spec = sweepOf(random, `s${k}`, k === poisoned);
    const at = k === 0 ? 10 : random.int(10, 2_000);
    acts.push({ kind: "submit", at, spec });
    // A user who got no answer, or believes it, asks again.
    if (random.chance(0.2)) acts.push({ kind: "submit", at: at + random.int(1, 500), spec });
    if (random.chance(0.3)) {
      const cancelAt = at + random.int(50, 3_000);
      acts.push({ kind: "cancel", at: cancelAt, sweep: spec.name });
      if (random.chance(0.8)) {
        const fresh = random.chance(0.3);
        acts.push({ kind: "retry", at: cancelAt + random.int(50, 1_000), sweep: spec.name, fresh });
      }
    }
  }
  return acts;
}

const ACTIVE = ["scanning", "unlearning", "evaluating"] as const;
/** Rare ones several times. */
const RESTING = [
  ...["queued", "queued", "queued", "queued", "queued"],
  ...["failed", "failed", "failed", "failed", "failed"],
  ...["cancelled", "cancelled", "cancelled", "cancelled"],
  ...["done", "done"],
] as readonly JobPhase[];

/** Of users who see what a job does. */
function actsAtOf(acts: readonly UserAct[], random: Random): Plan["actsAt"] {
  const submitted = acts.flatMap((act) => (act.kind === "submit" ? [act.spec] : []));
  const seen = submitted.flatMap(({ name: sweep }): Plan["actsAt"] => {
    if (!random.chance(0.8)) return [];
    const phase = random.pick<JobPhase>([...ACTIVE, ...ACTIVE, ...ACTIVE, ...RESTING]);
    const act =
      random.chance(0.5) && (ACTIVE as readonly string[]).includes(phase)
        ? ({ kind: "cancel", at: 0, sweep } as const)
        : ({ kind: "take back", at: 0, sweep } as const);
    // A scan has steps to go back to only after a while.
    const afterMs = phase === "scanning" ? random.int(100, 1_500) : random.int(0, 40);
    return [{ phase, afterMs, act }];
  });
  // What would be rare else.
  const rare = submitted.flatMap(({ name: sweep, jobs }) => {
    const takeBack = { kind: "take back", at: 0, sweep } as const;
    const retry = { kind: "retry", at: 0, sweep, fresh: random.chance(0.3) } as const;
    return [
      ...(random.chance(0.15) ? [{ phase: "queued", afterMs: 0, act: takeBack } as const] : []),
      ...(random.chance(0.2) ? [{ phase: "cancelled", afterMs: 0, act: takeBack } as const] : []),
      ...(random.chance(0.06) ? [{ phase: "unlearning", afterMs: 10, act: takeBack } as const] : []),
      ...(jobs.some(({ options }) => "poison" in options) && random.chance(0.4)
        ? [{ phase: "failed", afterMs: random.int(50, 500), act: retry } as const]
        : []),
    ];
  });
  return [...seen, ...rare];
}

function waitsAreBounded(acts: readonly UserAct[]): boolean {
  const submitted = acts.flatMap((act) => (act.kind === "submit" ? [act.spec] : []));
  const isPoisoned = submitted.some(({ jobs }) => jobs.some(({ options }) => "poison" in options));
  return !isPoisoned && new Set(submitted.map(({ priority }) => priority)).size === 1;
}

/** Few scripts, so that what they give without faults is computed once for all seeds. */
function sweepOf(random: Random, name: string, isPoisoned: boolean): SweepSpec {
  const jobs = random.int(1, 3);
  const bad = isPoisoned ? random.int(0, jobs - 1) : -1;
  const kills = random.branch("what poison kills").chance(0.3) ? { kills: "worker" } : {};
  const shape: Omit<Script, "model"> = {
    searches: random.int(1, 2),
    steps: random.int(2, 3),
    tiles: random.int(1, 2),
    inFlight: random.int(1, 2),
  };
  return {
    name,
    task: "defect_detection",
    options: { ...shape },
    priority: random.chance(0.8) ? 0 : 1,
    weight: random.int(1, 3),
    maxParallel: random.int(1, 3),
    jobs: Array.from({ length: jobs }, (_, k) => ({
      name: `j${k}`,
      model: `m${random.int(0, 5)}`,
      options: (k === bad
        ? { poison: random.pick(["scan", "unlearn", "unlearn", "evaluate"]), ...kills }
        : {}) as JobSpec["options"],
    })),
  };
}

function faultsOf(random: Random, mayLie: boolean): Plan["faults"] {
  const names = Object.keys(FAULTS) as FaultName[];
  const at = (): number => random.int(20, CALM_FROM_MS - 500);
  const faults = Array.from({ length: random.pick(FAULT_COUNTS) }, () => ({
    at: at(),
    name: random.pick(names),
  }));
  // Early, while there is something to lie about.
  const lies =
    mayLie && random.chance(0.7) ? [{ at: Math.floor(at() / 3), name: "worker lies" as const }] : [];
  return [...faults, ...lies].sort((a, b) => a.at - b.at);
}
