/** The life of a job: which states it has, and which events each state takes (DESIGN section 2). Pure. */
import { z } from "zod";

const digest = z.string().regex(/^[0-9a-f]{64}$/);

/** What an unlearning leaves behind for the evaluation: artifacts by digest. */
export const RepairCommit = z.strictObject({
  /** New values of the weights that changed. */
  weights: digest,
  /** What the repair did, as JSON. */
  report: digest,
});
export type RepairCommit = z.infer<typeof RepairCommit>;

/** Workers of whose results, among those that something was computed from, some have not been checked; absent: none, or nobody knows. */
export const unchecked = z.array(z.string()).exactOptional();

/** Some of the results that something was computed from were still being checked; absent: none was. */
export const checking = z.literal(true).exactOptional();

/** What happens to a job. */
export const JobEvent = z.discriminatedUnion("kind", [
  /** Its turn has come. */
  z.strictObject({ kind: z.literal("started") }),
  /** All searches have a result; `found` triggers are worth unlearning. */
  z.strictObject({ kind: z.literal("scanned"), found: z.int().nonnegative() }),
  z.strictObject({ kind: z.literal("unlearned"), repair: RepairCommit, unchecked, checking }),
  z.strictObject({ kind: z.literal("evaluated"), report: z.json(), unchecked }),
  z.strictObject({ kind: z.literal("failed"), reason: z.string() }),
  z.strictObject({ kind: z.literal("cancelled") }),
  /** `fresh` forgets what earlier attempts committed, where the model or its samples have changed since. */
  z.strictObject({ kind: z.literal("retried"), fresh: z.boolean() }),
  /** Results that it built on may be wrong: the named searches go back to the state after so many steps. */
  z.strictObject({
    kind: z.literal("taken-back"),
    reason: z.string(),
    searches: z.array(z.strictObject({ search: z.int().nonnegative(), step: z.int().nonnegative() })),
  }),
  /** It is done, and results that it was computed from may be wrong. */
  z.strictObject({ kind: z.literal("doubted"), reason: z.string() }),
]);
export type JobEvent = z.infer<typeof JobEvent>;

export const JobState = z.discriminatedUnion("phase", [
  z.strictObject({ phase: z.literal("queued") }),
  z.strictObject({ phase: z.literal("scanning") }),
  z.strictObject({ phase: z.literal("unlearning") }),
  /** No repair where no trigger was worth unlearning. */
  z.strictObject({ phase: z.literal("evaluating"), repair: RepairCommit.nullable() }),
  z.strictObject({ phase: z.literal("done"), report: z.json(), doubted: z.string().exactOptional() }),
  z.strictObject({ phase: z.literal("failed"), reason: z.string() }),
  z.strictObject({ phase: z.literal("cancelled") }),
]);
export type JobState = z.infer<typeof JobState>;
export type JobPhase = JobState["phase"];
export type StateOf<P extends JobPhase> = Extract<JobState, { readonly phase: P }>;
type EventOf<K extends JobEvent["kind"]> = Extract<JobEvent, { readonly kind: K }>;

/** The events that each state takes; a state without any is final. */
export const EVENTS = {
  queued: ["started", "failed", "cancelled", "taken-back"],
  scanning: ["scanned", "failed", "cancelled", "taken-back"],
  unlearning: ["unlearned", "failed", "cancelled", "taken-back"],
  evaluating: ["evaluated", "failed", "cancelled", "taken-back"],
  done: ["doubted"],
  failed: ["retried", "taken-back"],
  cancelled: ["retried", "taken-back"],
} as const satisfies { readonly [P in JobPhase]: readonly JobEvent["kind"][] };

/** An event that a state takes. */
export type EventFor<P extends JobPhase> = EventOf<(typeof EVENTS)[P][number]>;

/** Whether a state takes an event: for events that come from outside the types, out of a log or a request. */
export const takes = <S extends JobState>({ phase }: S, { kind }: JobEvent): boolean =>
  (EVENTS[phase] as readonly string[]).includes(kind);

/** The state after an event. Only events that the state takes can be asked about. */
export function moved<P extends JobPhase>(before: StateOf<P>, event: EventFor<P>): JobState {
  const from: JobState = before;
  const happened: JobEvent = event;
  switch (happened.kind) {
    case "started":
      return { phase: "scanning" };
    case "scanned":
      return happened.found > 0 ? { phase: "unlearning" } : { phase: "evaluating", repair: null };
    case "unlearned":
      return { phase: "evaluating", repair: happened.repair };
    case "evaluated":
      return { phase: "done", report: happened.report };
    case "failed":
      return { phase: "failed", reason: happened.reason };
    case "cancelled":
      return { phase: "cancelled" };
    case "retried":
      return { phase: "queued" };
    case "taken-back":
      return isActive(from) ? { phase: "scanning" } : from;
    case "doubted":
      return from.phase === "done" ? { ...from, doubted: happened.reason } : from;
  }
}

/** A job that a runner works on, or will again after a restart. */
export const isActive = ({ phase }: JobState): boolean =>
  phase === "scanning" || phase === "unlearning" || phase === "evaluating";

/** A job that is not over: it waits or is worked on. */
export const isLive = (state: JobState): boolean => state.phase === "queued" || isActive(state);
