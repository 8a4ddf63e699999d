/** Sweeps and their jobs as the log knows them. Every value here is JSON. */
import { z } from "zod";
import type { PairSearchResult, SearchResult } from "../search/scan-result.ts";
import { BucketSettings } from "../sources/bucket-settings.ts";
import { CommittedStep } from "./committed-step.ts";
import { JobState } from "./job-state.ts";

/** A name that can stand in a path, a table and a command line. */
export const Name = z
  .string({ error: "must be text" })
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
    "must be letters, digits, '.', '_' and '-', at most 128 of them, the first a letter or digit",
  );

/** Options of `elibad clean` by their names in code. */
const Options = z.record(z.string(), z.json());

/** One model of a sweep. */
export const JobSpec = z.strictObject({
  /** Names the job within its sweep. */
  name: Name,
  /** Where its checkpoint is: an absolute folder, a bucket's or an upload, as `sourceText` writes it. So are the paths among the options. */
  model: z.string(),
  /** What is other than in the rest of the sweep. */
  options: Options,
});
export type JobSpec = z.infer<typeof JobSpec>;

export const SweepSpec = z.strictObject({
  name: Name,
  task: z.enum(["defect_detection", "clone_detection", "code_search"]),
  /** Of every job; a job's own win. */
  options: Options,
  /** Jobs of a higher priority start before all of a lower one, and get workers before them. */
  priority: z.int(),
  /** Share of the starts, and of the workers' time, among sweeps of one priority. */
  weight: z.number().positive(),
  /** Jobs that run at a time. */
  maxParallel: z.int().positive(),
  /** Where the buckets are that it names. */
  s3: BucketSettings.optional(),
  jobs: z.array(JobSpec).min(1),
});
export type SweepSpec = z.infer<typeof SweepSpec>;

/** What a finished search found. The log trusts what it wrote: of a result it checks what it works with itself. */
export const FoundResult = z.custom<SearchResult | PairSearchResult>(
  (value) =>
    z.looseObject({ search: z.int().nonnegative(), steps: z.int().nonnegative() }).safeParse(value).success,
  "is no result of a search",
);

/** What is committed of one search of a job. */
export const SearchProgress = z.strictObject({
  search: z.int().nonnegative(),
  steps: z.array(CommittedStep),
  /** By worker: the steps, ascending, that were computed from results of it that nobody has checked. */
  unchecked: z.record(z.string(), z.array(z.int().nonnegative())).exactOptional(),
  /** Steps, ascending, of whose results some were being checked, as far as the log has heard. */
  checking: z.array(z.int().nonnegative()).exactOptional(),
  /** Null while it runs. */
  result: FoundResult.nullable(),
});
export type SearchProgress = z.infer<typeof SearchProgress>;

/** Tokens of the scan's tiles, where a device was asked what is fastest: its answer may be another one next time. */
export const MeasuredTile = z.strictObject({
  tile: z.int().positive(),
  timed: z.array(z.strictObject({ tokens: z.int().positive(), seconds: z.number() })),
});
export type MeasuredTile = z.infer<typeof MeasuredTile>;

export const Job = z.strictObject({
  name: Name,
  state: JobState,
  /** Counts from 1; every retry is another one. */
  attempt: z.int().positive(),
  /** Milliseconds since 1970 of the last change of state. */
  movedAt: z.number(),
  /** What computes the job since its first committed step: results of another class are other bits, and are never mixed in. */
  deviceClass: z.string().optional(),
  tile: MeasuredTile.optional(),
  /** Workers whose unchecked results are in what the job has beside its steps, by what that is; once it is done, in all of it. */
  unchecked: z.record(z.string(), z.array(z.string())).exactOptional(),
  /** What of it, beside its steps, rests on results that were being checked, as far as the log has heard. */
  checking: z.array(z.string()).exactOptional(),
  /** What it had computed was taken back before: files of it may lie about. */
  wasTakenBack: z.literal(true).exactOptional(),
  /** In the order of their first commits. Kept until the job is done: a retry goes on from here. */
  searches: z.array(SearchProgress),
});
export type Job = z.infer<typeof Job>;

export const Sweep = z.strictObject({
  spec: SweepSpec,
  /** Milliseconds since 1970. */
  submittedAt: z.number(),
  /** In the order of `spec.jobs`. */
  jobs: z.array(Job),
  /** Starts so far, divided by the weight, counted from where the sweep came in: the least is next. */
  served: z.number(),
});
export type Sweep = z.infer<typeof Sweep>;

/** Everything that the log says. */
export const SweepsState = z.strictObject({
  /** Of this value, where it is kept as a snapshot. */
  format: z.literal(1),
  /** In the order of submission. */
  sweeps: z.array(Sweep),
  /** Workers that gave wrong results. */
  expelled: z
    .array(z.strictObject({ workerId: z.string(), reason: z.string(), at: z.number() }))
    .exactOptional(),
});
export type SweepsState = z.infer<typeof SweepsState>;

export const NO_SWEEPS: SweepsState = { format: 1, sweeps: [] };

/** Names a job among all sweeps. */
export interface JobId {
  readonly sweep: string;
  readonly job: string;
}

/** `friday/model-a`, as people and logs write it. */
export const jobIdText = ({ sweep, job }: JobId): string => `${sweep}/${job}`;

export const findSweep = ({ sweeps }: SweepsState, name: string): Sweep | undefined =>
  sweeps.find(({ spec }) => spec.name === name);

/** A sweep or a job that nobody submitted. */
export class UnknownNameError extends Error {
  override readonly name = "UnknownNameError";
}

/** @throws UnknownNameError */
export function requireSweep(state: SweepsState, name: string): Sweep {
  const sweep = findSweep(state, name);
  if (sweep === undefined) throw new UnknownNameError(`there is no sweep '${name.slice(0, 128)}'`);
  return sweep;
}

/** @throws UnknownNameError */
export function requireJob(state: SweepsState, { sweep, job }: JobId): Job {
  const found = requireSweep(state, sweep).jobs.find(({ name }) => name === job);
  if (found === undefined) throw new UnknownNameError(`sweep '${sweep}' has no job '${job.slice(0, 128)}'`);
  return found;
}

export const findJob = (state: SweepsState, { sweep, job }: JobId): Job | undefined =>
  findSweep(state, sweep)?.jobs.find(({ name }) => name === job);

/** A job's options: the sweep's, and over them its own. */
export const jobOptions = (
  { task, options }: SweepSpec,
  job: JobSpec,
): Readonly<Record<string, unknown>> => ({
  ...options,
  ...job.options,
  task,
  model: job.model,
});
