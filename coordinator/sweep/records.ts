/** What the log of the sweeps is made of. Every change of a sweep is one of these, and nothing else changes it. */
import { z } from "zod";
import { CommittedStep } from "./committed-step.ts";
import { JobEvent } from "./job-state.ts";
import { FoundResult, MeasuredTile, Name, SweepSpec } from "./sweep.ts";

const ofJob = { sweep: Name, job: Name };
/** Milliseconds since 1970. */
const at = z.number();

export const SweepRecord = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("sweep-submitted"), at, spec: SweepSpec }),
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
    /** What computed it; absent where there is no such thing, as in one process. */
    deviceClass: z.string().optional(),
  }),
  z.strictObject({ kind: z.literal("tile-measured"), ...ofJob, tile: MeasuredTile }),
  z.strictObject({ kind: z.literal("search-found"), ...ofJob, result: FoundResult }),
]);
export type SweepRecord = z.infer<typeof SweepRecord>;
export type RecordOf<K extends SweepRecord["kind"]> = Extract<SweepRecord, { readonly kind: K }>;
