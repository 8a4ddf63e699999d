import type { Digest, OperationKind, ProgramForm } from "../../proto/operations.ts";
import type { Flapping } from "./backoff.ts";
import type { Account } from "./fair-shares.ts";
import { enter } from "./fair-shares.ts";
import type { Loss } from "./losses.ts";
import { newOrigins, type Origins } from "./origins.ts";
import { RecentSet } from "./recent-set.ts";
import type { DispatchSettings } from "./settings.ts";
import { WaitingLine } from "./waiting-line.ts";

/** One stream of one worker; a worker that dials again gets another session. */
export type Session = number;

/** An operation as one scope waits for it: scope and fingerprint. */
export type OperationKey = string;

export const operationKey = (scope: string, fingerprint: Digest): OperationKey => `${scope}/${fingerprint}`;

export interface WorkerState {
  readonly session: Session;
  readonly workerId: string;
  /** Of its process; empty where it does not say. */
  readonly incarnation: string;
  readonly deviceClass: string;
  /** Forms of programs that are right on its device. */
  readonly forms: readonly string[];
  /** Of its inference child; 0 where it does not say. */
  readonly memoryBytes: number;
  /** `draining`: it takes no more leases and finishes or gives back what it has. */
  life: "active" | "draining";
  /** Leases that it can still take. */
  credit: number;
  /** False while its stream is full; nothing is sent then. */
  writable: boolean;
  readonly leases: Set<number>;
  /** An operation that it may finish although its lease is over: its child is not free before. */
  lingering:
    | { readonly leaseId: number; readonly operation: OperationState; readonly expectedSeconds: number }
    | undefined;
  /** When the first of what it has could begin. */
  beganMs: number;
  /** The lease that its child works on, by its last heartbeat; 0 for none. */
  runningLease: number;
  /** Parts of long operations that its child had done, by its last heartbeat. */
  partsDone: number;
  /** When something came from it. */
  heardMs: number;
  /** Checkpoints that it has in its cache. */
  readonly checkpoints: Set<Digest>;
  /** Checkpoint of its last lease: the programs that its child has loaded. */
  loaded: Digest | undefined;
  /** What it says of its results that somebody waited for: how fast it is, for people. */
  readonly work: { seconds: number; tokens: number };
  /** The operation that is to have, or has, this worker for itself. */
  reservedFor: OperationKey | undefined;
}

/** What an operation asks of a worker. */
export interface Need {
  /** Form of its program: for workers that have it. */
  readonly form: ProgramForm;
  /** Of the inference child; 0 where that is not known. */
  readonly memoryBytes: number;
}

export interface OperationState {
  readonly key: OperationKey;
  readonly scope: string;
  readonly fingerprint: Digest;
  readonly checkpoint: Digest;
  /** The state that it goes on from, if any. */
  readonly state: Digest | undefined;
  readonly kind: OperationKind;
  /** It is answered already, and computed again to compare: it waits in `checks`, not in a lane. */
  readonly isCheck: boolean;
  readonly need: Need;
  /** Under which its duration is measured. */
  readonly measuredAs: string;
  /** Place in the order of submission. */
  readonly order: number;
  readonly submittedMs: number;
  /** Since when it waits. */
  waitingSinceMs: number;
  /** Its live leases, the first one first; none while it waits. */
  readonly leases: Set<number>;
  childDeaths: number;
  /** Workers in a row that were lost while they ran it. */
  losses: number;
  /** Some worker was lost while it ran it, in a row or not. */
  wasLost: boolean;
  /** Invalid results and retryable errors. */
  attempts: number;
  readonly reasons: string[];
  /** Workers on which it went wrong: others come first. */
  readonly avoid: Set<string>;
}

export interface LeaseState {
  readonly id: number;
  readonly key: OperationKey;
  readonly session: Session;
  readonly grantedMs: number;
  /** What its operation was expected to take when it was granted. */
  readonly expectedSeconds: number;
  /** When it was granted, or its operation last said that a part of it is done. */
  progressMs: number;
  deadlineMs: number;
}

/** Who shares the workers, and how: operations of one group stand together against those of the others. */
export interface Share {
  /** A sweep's name, for one. */
  readonly group: string;
  /** Of the group: its part of the work among groups of its priority. */
  readonly weight: number;
  /** Of the group: operations of a higher one go before all of a lower one. */
  readonly priority: number;
}

/** What is said of a scope before its first operation. */
export interface ScopeTerms {
  /** The class that its earlier results came from: what follows comes from no other. */
  readonly deviceClass?: string | undefined;
  /** Absent: the scope is a group of its own. */
  readonly share?: Share | undefined;
  /** Forms of programs that its operations will ask for: it begins on no class that lacks one of them. */
  readonly forms?: readonly ProgramForm[] | undefined;
}

/** Operations whose results must come from one device class: those of one search, or one command. */
export interface ScopeState extends Account {
  /** The class in its terms, else that of the first worker that got one of them; undefined before. It is final where `isSettled` is. */
  deviceClass: string | undefined;
  /** Its class is in its terms, or a result of the class was used: there can be no other one any more. */
  isSettled: boolean;
  /** Live leases of its operations. */
  leases: number;
  /** All that its operations asked for so far, or will. */
  readonly needs: Map<string, Need>;
  readonly share: Share;
  readonly operations: Set<OperationKey>;
  /** Checks of what it was given that are not over. */
  readonly checks: Set<OperationKey>;
  readonly origins: Origins;
  /** Somebody waits for its checks. */
  isAwaited: boolean;
  /** Why what it was given may be wrong: it gets nothing more. */
  distrusted: string | undefined;
}

/** A result that is compared with others. */
export interface CheckState {
  /** By worker, the number of its answer: answers that agree have one number; that of the result that was used is 0. */
  readonly votes: Map<string, number>;
}

/** Scopes that stand together against others: a sweep's jobs, or one command. */
export interface GroupState extends Account {
  readonly share: Share;
  /** Those that are open. */
  readonly scopes: Set<string>;
  /** What the least served scope was served that could be given something. */
  clock: number;
  /** Seconds of work in results that were used, whatever the weight. */
  workSeconds: number;
}

/** Operations of one scope and checkpoint that wait. */
export interface Lane {
  readonly scope: string;
  readonly checkpoint: Digest;
  readonly line: WaitingLine;
}

/** More operations than are answered in the time in which duplicates come. */
const MAX_ANSWERED = 10_000;

/** Everything that decides who works on what. `advance` alone changes it. */
export interface DispatchState {
  readonly settings: DispatchSettings;
  readonly workers: Map<Session, WorkerState>;
  readonly operations: Map<OperationKey, OperationState>;
  /** Keys of the operations with a fingerprint: one per scope. */
  readonly keysOf: Map<Digest, Set<OperationKey>>;
  readonly leases: Map<number, LeaseState>;
  readonly scopes: Map<string, ScopeState>;
  readonly groups: Map<string, GroupState>;
  /** By priority: what the least served group was served that could be given something. */
  readonly clocks: Map<number, number>;
  readonly lanes: Map<string, Lane>;
  /** Ids of the workers that have a state of a training run, also of those that are away; until an operation went on from it, or it is released. */
  readonly holders: Map<Digest, Set<string>>;
  /** In the order in which they began; their operations are among the others. */
  readonly checks: Map<OperationKey, CheckState>;
  /** Workers that gave a wrong result, with the reason. */
  readonly expelled: Map<string, string>;
  /** Mean milliseconds of each worker, by what was measured. */
  readonly durations: Map<string, Map<string, number>>;
  /** Fingerprints of operations that were answered, the latest ones: what else arrives for them is a duplicate. */
  readonly answered: RecentSet<Digest>;
  /** By id: workers that failed since they last finished an operation. */
  readonly flapping: Map<string, Flapping>;
  /** Workers that were lost, the latest last. */
  losses: Loss[];
  /** Fingerprints to accept when the worker with this id comes back. */
  readonly owedAccepts: Map<string, Set<Digest>>;
  /** True: no more leases are given. */
  draining: boolean;
  lastLease: number;
  lastOrder: number;
}

export function newDispatchState(settings: DispatchSettings): DispatchState {
  return {
    settings,
    workers: new Map(),
    operations: new Map(),
    keysOf: new Map(),
    leases: new Map(),
    scopes: new Map(),
    groups: new Map(),
    clocks: new Map(),
    lanes: new Map(),
    holders: new Map(),
    checks: new Map(),
    expelled: new Map(),
    durations: new Map(),
    answered: new RecentSet(MAX_ANSWERED),
    flapping: new Map(),
    losses: [],
    owedAccepts: new Map(),
    draining: false,
    lastLease: 0,
    lastOrder: 0,
  };
}

/** The lane of a scope and checkpoint, made where it is missing. */
export function laneOf(state: DispatchState, scope: string, checkpoint: Digest): Lane {
  const id = `${scope}/${checkpoint}`;
  let lane = state.lanes.get(id);
  if (!lane) {
    lane = { scope, checkpoint, line: new WaitingLine() };
    state.lanes.set(id, lane);
  }
  return lane;
}

/** The scope's state, made by these terms where it is missing. */
export function scopeOf(
  state: DispatchState,
  scope: string,
  { deviceClass, share = { group: `command/${scope}`, weight: 1, priority: 0 }, forms = [] }: ScopeTerms = {},
): ScopeState {
  let known = state.scopes.get(scope);
  if (!known) {
    const account = { served: 0, expected: 0 };
    const binding = { deviceClass, isSettled: deviceClass !== undefined, leases: 0, needs: new Map() };
    const trust = {
      checks: new Set<string>(),
      origins: newOrigins(),
      isAwaited: false,
      distrusted: undefined,
    };
    known = { share, operations: new Set(), ...account, ...binding, ...trust };
    for (const form of forms) addNeed(known, { form, memoryBytes: 0 });
    state.scopes.set(scope, known);
    enter(state, scope, known);
  }
  return known;
}

export function addNeed({ needs }: ScopeState, need: Need): void {
  needs.set(`${need.form} ${need.memoryBytes}`, need);
}
