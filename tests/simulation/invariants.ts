/** What must hold in every run, whatever goes wrong in it. Each is a function with a name; the first that does not hold ends the run. */
import type { DispatchState } from "../../coordinator/dispatch/state.ts";
import { EVENTS, isActive, type JobState } from "../../coordinator/sweep/job-state.ts";
import type { SweepRecord } from "../../coordinator/sweep/records.ts";
import type { SweepSpec, SweepsState } from "../../coordinator/sweep/sweep.ts";
import { canonicalJson } from "../../proto/canonical-json.ts";
import type { CalmRun } from "./calm-run.ts";
import type { Written } from "./virtual-store.ts";

/** An invariant that does not hold. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly invariant: string;

  constructor(invariant: string, problem: string) {
    super(`${invariant}: ${problem}`);
    this.invariant = invariant;
  }
}

function require(invariant: string, holds: boolean, problem: () => string): void {
  if (!holds) throw new Violation(invariant, problem());
}

/** A write is the highest term's, and follows the record before it: nobody writes behind another one's back. */
export function oneWriterATerm({ term, highestTerm, writer, first }: Written): void {
  require("oneWriterATerm", term === highestTerm, () =>
    `${writer} wrote record ${first} in term ${term}, and term ${highestTerm} had begun`);
}

export interface LedgerSearch {
  readonly step: number;
  readonly isFound: boolean;
  /** The first step that is wrong, and the liars that it rests on. */
  readonly wrong?: { readonly step: number; readonly liars: Set<string> } | undefined;
}

/** What the log says of a job, kept apart from the code that is tested. */
export interface LedgerJob {
  phase: JobState["phase"];
  attempt: number;
  /** By search: the last committed step, and whether it has its result. */
  readonly searches: Map<number, LedgerSearch>;
  deviceClass: string | undefined;
  /** Liars whose unchecked results are in what was computed beside the steps. */
  lies: Set<string>;
  /** It reports what it would not without liars. */
  isWrong: boolean;
  isDoubted: boolean;
}

export interface LedgerSweep {
  readonly spec: SweepSpec;
  readonly jobs: Map<string, LedgerJob>;
  served: number;
  /** Starts of others that were served more, while it had a job to start. */
  overtaken: number;
}

/** A step is committed once, after the one before it, while its job scans. */
export function monotoneCommit(
  job: LedgerJob,
  { search, step, ...id }: Extract<SweepRecord, { kind: "step-committed" }>,
): void {
  const place = `${id.sweep}/${id.job} search ${search}`;
  const known = job.searches.get(search);
  require("monotoneCommit", job.phase === "scanning", () => `${place}: step ${step.step} while ${job.phase}`);
  require("monotoneCommit", !known?.isFound, () => `${place}: step ${step.step} after its result`);
  require("monotoneCommit", step.step === (known?.step ?? 0) + 1, () =>
    `${place}: step ${step.step} after step ${known?.step ?? 0}`);
}

/**
 * What a step found is, to the last bit, what it finds without faults: no result was lost, counted twice or wrong. Only a step that the log says to rest on
 * unchecked results of a worker that lies may be another one.
 */
export function sameStepAsCalm(
  calm: CalmRun,
  restsOnLies: boolean,
  { search, step, results, ...id }: Extract<SweepRecord, { kind: "step-committed" }>,
): void {
  const expected = calm.steps.get(`${search} ${step.step}`);
  require("sameStepAsCalm", results === expected || restsOnLies, () =>
    `${id.sweep}/${id.job} search ${search} step ${step.step} found ${results}, ${expected} without faults`);
}

/** The report of a job that is done is that of the run without faults, with the same exception. */
export function sameReportAsCalm(calm: CalmRun, restsOnLies: boolean, id: string, report: unknown): void {
  const text = canonicalJson(report);
  require("sameReportAsCalm", text === calm.report || restsOnLies, () =>
    `${id} reports ${text}, ${calm.report} without faults`);
}

/** What was computed from a lie is not called checked. */
export function noLieIsCleared(id: string, liarsLeft: number): void {
  require("noLieIsCleared", liarsLeft > 0, () =>
    `${id} rests on a wrong result, and all of it counts as checked`);
}

/** A worker that never gave a wrong answer is not expelled. */
export function onlyLiarsAreExpelled(liars: ReadonlySet<string>, workerId: string): void {
  require("onlyLiarsAreExpelled", liars.has(workerId), () =>
    `${workerId} was expelled, and gave no wrong answer`);
}

/** When a liar was found out, no job that rests on its lies is done without a doubt. */
export function noLieStands(id: string, isDoubted: boolean): void {
  require("noLieStands", isDoubted, () =>
    `${id} is done by lies of a worker that was expelled, and nobody doubts it`);
}

/** The class of device that a job's steps come from is one. */
export function oneDeviceClass(job: LedgerJob, id: string, deviceClass: string | undefined): void {
  const isOne = deviceClass === undefined || job.deviceClass === undefined || job.deviceClass === deviceClass;
  require("oneDeviceClass", isOne, () => `${id} went from ${job.deviceClass} to ${deviceClass}`);
}

/** What an operation is given up for is what it did: no number of workers that die of something else makes a job fail. */
export function onlyKillersAreGivenUp(id: string, killsWorkers: boolean, reason: string): void {
  require("onlyKillersAreGivenUp", killsWorkers || !isForLostWorkers(reason), () =>
    `${id} kills no worker, and failed since ${reason}`);
}

/** Whether an operation was given up since workers were lost with it. */
export const isForLostWorkers = (reason: string): boolean => reason.includes("were lost while they ran it");

/** A job goes the ways of its table only. */
export function legalTransition(id: string, phase: JobState["phase"], event: string): void {
  require("legalTransition", (EVENTS[phase] as readonly string[]).includes(event), () =>
    `${id} was ${event} while ${phase}`);
}

/** Of sweeps of one priority, one that has a job to start is not passed over by more starts than can be decided at once. */
export function fairStarts(sweep: LedgerSweep, limit: number): void {
  require("fairStarts", sweep.overtaken <= limit, () =>
    `${sweep.spec.name} was served ${sweep.served} and passed over ${sweep.overtaken} times in favour of sweeps that were served more`);
}

/** Every lease belongs to a worker that is connected, counts for an operation that is waited for, and is in both their books. */
export function noLeaseLeak(state: DispatchState, isConnected: (session: number) => boolean): void {
  for (const { id, key, session } of state.leases.values()) {
    const operation = state.operations.get(key);
    const worker = state.workers.get(session);
    require("noLeaseLeak", operation?.leases.has(id) === true, () =>
      `lease ${id} is of no operation that waits for it`);
    require("noLeaseLeak", worker?.leases.has(id) === true, () => `lease ${id} is not in its worker's book`);
    require("noLeaseLeak", isConnected(session), () =>
      `lease ${id} is held by session ${session}, which is over`);
  }
  for (const { leases } of state.workers.values())
    for (const id of leases)
      require("noLeaseLeak", state.leases.has(id), () => `a worker holds lease ${id}, which is none`);
}

/** An operation that somebody waits for is in its line, or among the checks, or has a lease: never none of these. */
export function everyOperationIsSomewhere(state: DispatchState): void {
  let [waiting, leased] = [0, 0];
  for (const key of state.checks.keys()) if (state.operations.get(key)?.leases.size === 0) waiting++;
  for (const { line } of state.lanes.values()) waiting += line.length;
  for (const { leases } of state.operations.values()) if (leases.size > 0) leased++;
  require("everyOperationIsSomewhere", waiting + leased === state.operations.size, () =>
    `${state.operations.size} operations: ${waiting} wait, ${leased} have leases`);
}

/** `Accepted` is a promise: it is said of results that were handed over, since the worker forgets them then. */
export function acceptedIsTaken(taken: ReadonlySet<string>, fingerprint: string, workerId: string): void {
  require("acceptedIsTaken", taken.has(`${workerId} ${fingerprint}`), () =>
    `${workerId} was told to forget ${fingerprint.slice(0, 12)}, which nobody had taken`);
}

/** Nobody starves: among operations of one priority, each gets a lease in the time that is enough for some of all the others' work. */
export function boundedWait(waitedMs: number, boundMs: number, what: string): void {
  require("boundedWait", waitedMs <= boundMs, () => `${what} has waited ${Math.round(waitedMs)} ms`);
}

/** What a client was told to be done is in the log. */
export function acknowledgedIsDurable(state: SweepsState, acknowledged: ReadonlySet<string>): void {
  for (const name of acknowledged)
    require("acknowledgedIsDurable", state.sweeps.some(({ spec }) => spec.name === name), () =>
      `sweep ${name} was acknowledged and is not there`);
}

/** Every job has come to its end, and to one that it may have. */
export function noLostJob(
  jobs: readonly {
    readonly id: string;
    readonly state: JobState;
    readonly mayFail: boolean;
    readonly mayBeCancelled: boolean;
  }[],
): void {
  for (const { id, state, mayFail, mayBeCancelled } of jobs) {
    const isFine =
      state.phase === "done" ||
      (state.phase === "failed" && mayFail) ||
      (state.phase === "cancelled" && mayBeCancelled);
    require("noLostJob", isFine, () => `${id} is ${JSON.stringify(state).slice(0, 300)}`);
  }
}

/** When everything is done, nothing is left of it: no lease, no operation, nothing held by workers, no result that nobody accepted. */
export function nothingLeft(left: Readonly<Record<string, number>>): void {
  for (const [what, count] of Object.entries(left))
    require("nothingLeft", count === 0, () => `${count} ${what} are left`);
}

/** Whether a job is worked on, by its phase. */
export const isAtWork = (phase: JobState["phase"]): boolean => isActive({ phase } as JobState);
