/** What the log of the sweeps is made of. Every change of a sweep is one of these, and nothing else changes it. */
import { z } from "zod";
import { CommittedStep } from "./committed-step.ts";
import { checking, JobEvent, unchecked } from "./job-state.ts";
import { FoundResult, MeasuredTile, Name, SweepSpec } from "./sweep.ts";

const ofJob = { sweep: Name, job: Name };
/** Milliseconds since 1970. */
const at = z.number();

/** What a job computes: a step of a search, what the search found, the repair. */
export const Computed = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("step"), search: z.int().nonnegative(), step: z.int().nonnegative() }),
  z.strictObject({ kind: z.literal("found"), search: z.int().nonnegative() }),
  z.strictObject({ kind: z.literal("repair") }),
]);
export type Computed = z.infer<typeof Computed>;

export const SweepRecord = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("sweep-submitted"), at, spec: SweepSpec }),
  /** All of its jobs were over. */
  z.strictObject({ kind: z.literal("sweep-removed"), at, sweep: Name }),
  z.strictObject({ kind: z.literal("job-moved"), at, ...ofJob, event: JobEvent }),
  z.strictObject({
    kind: z.literal("step-committed"),
    ...ofJob,
    search: z.int().nonnegative(),
    step: CommittedStep,
    /** Digest of the step's record in the trace: what it found, to the last bit. Absent where no step was made. */
    results: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .optional(),
    /** Workers of whose results, among those that the step was computed from, some had not been checked. */
    unchecked,
    checking,
    /** What computed it; absent where there is no such thing, as in one process. */
    deviceClass: z.string().optional(),
  }),
  z.strictObject({ kind: z.literal("tile-measured"), ...ofJob, tile: MeasuredTile }),
  z.strictObject({ kind: z.literal("search-found"), ...ofJob, result: FoundResult, unchecked, checking }),
  /** Nothing that something was computed from is being checked any more, and the results of these workers all turned out right. */
  z.strictObject({
    kind: z.literal("results-checked"),
    ...ofJob,
    of: Computed,
    workers: z.array(z.string()),
  }),
  /** A worker gave a wrong result: nothing more is taken from it. */
  z.strictObject({ kind: z.literal("worker-expelled"), at, workerId: z.string(), reason: z.string() }),
]);
export type SweepRecord = z.infer<typeof SweepRecord>;
/** A record of one job. */
export type JobRecord = Extract<SweepRecord, { readonly job: string }>;
export const isOfJob = (record: SweepRecord): record is JobRecord => "job" in record;
export type RecordOf<K extends SweepRecord["kind"]> = Extract<SweepRecord, { readonly kind: K }>;
