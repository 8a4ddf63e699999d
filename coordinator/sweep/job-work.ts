import type { z } from "zod";
import type { Commits, Committed } from "../search/planned-searches.ts";
import type { PairSearchResult, PairTraceRecord, SearchResult, TraceRecord } from "../search/scan-result.ts";
import type { AnySearchState } from "./committed-step.ts";
import type { RepairCommit } from "./job-state.ts";
import type { JobId, MeasuredTile } from "./sweep.ts";

export type AnyResult = SearchResult | PairSearchResult;

/** Commits of a scan of any task. */
export type ScanCommits = CommittedScan &
  Required<Omit<Commits<AnySearchState, TraceRecord | PairTraceRecord, AnyResult>, keyof CommittedScan>>;
/** What is committed of a scan: of each search, and of all. */
export interface CommittedScan {
  readonly resume: ReadonlyMap<number, Committed<AnySearchState, AnyResult>>;
  readonly tile: MeasuredTile | undefined;
}

/** Who computed what a job was given, as far as nobody computed it a second time. */
export interface Provenance {
  /** How many results it was given so far. */
  readonly given: number;
  /**
   * Workers of whose results after the first `given` ones some are not checked, and whether any is being checked; `cleared` resolves with those whose results all
   * turned out right, when nothing of them is being checked any more, and with undefined where a check was broken off, or found that a result was wrong.
   */
  uncheckedSince(given: number): {
    readonly workers: readonly string[];
    readonly isChecking: boolean;
    cleared(): Promise<readonly string[] | undefined>;
  };
  /** Resolves when nothing is being checked any more. */
  settled(signal?: AbortSignal): Promise<void>;
}

/** What is done for one job, by whoever knows models and executors. Each part may be asked for in another process than the one before. */
export interface JobWork {
  /** What computes it; undefined before the first operation, and where there is no such thing. */
  readonly deviceClass: string | undefined;
  /** Absent where the results are this process's own. */
  readonly provenance?: Provenance | undefined;
  /** Runs what is left of the searches; answers how many of their triggers are worth unlearning. */
  scan(commits: ScanCommits, signal: AbortSignal): Promise<number>;
  /** Starts at its beginning, and gives the same bits every time. What the commit names is durable when this resolves. */
  unlearn(scanned: CommittedScan, signal: AbortSignal): Promise<RepairCommit>;
  /** Measures the model and its repaired copy, and writes the results. The same ones where they are there already. */
  evaluate(scanned: CommittedScan, repair: RepairCommit | null, signal: AbortSignal): Promise<JobReport>;
  /** Lets go of what the job holds; also in the middle of a part that was stopped. */
  close(): Promise<void>;
}

/** What the log keeps of a job that is done: JSON, small. */
export type JobReport = z.core.util.JSONType;

/** What is known of a job before it is worked on. */
export interface OpenedJob extends JobId {
  /** Options of `elibad clean`, by their names in code. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What its committed steps were computed by: the next ones must be, too. */
  readonly deviceClass: string | undefined;
  /** Files of what it had computed before may lie about. */
  readonly wasTakenBack?: boolean;
}

/** Begins to work on a job, or goes on with it. @throws Error where its model or samples cannot be read: the job fails with that reason */
export type OpenJob = (job: OpenedJob, signal: AbortSignal) => Promise<JobWork>;
