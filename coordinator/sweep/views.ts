/** What people ask about sweeps, out of their state. Pure. */
import type { Task } from "../../proto/operations.ts";
import type { Trigger } from "../search/candidates.ts";
import type { JobPhase } from "./job-state.ts";
import type { Job, Sweep, SweepsState } from "./sweep.ts";

/** One line of `sweep list`. */
export interface SweepRow {
  readonly name: string;
  readonly task: Task;
  readonly submittedAt: number;
  readonly jobs: number;
  /** Jobs by where they are. */
  readonly phases: { readonly [P in JobPhase]: number };
}

/** One job of a sweep, as far as it is. */
export interface JobRow {
  readonly name: string;
  readonly model: string;
  readonly phase: JobPhase;
  readonly attempt: number;
  readonly movedAt: number;
  /** Why it failed. */
  readonly reason?: string;
  /** Committed steps and finished searches, while there are any; a job that is done has its report instead. */
  readonly steps: number;
  readonly searchesDone: number;
  /** The best trigger of all its searches so far. */
  readonly best: { readonly trigger: Trigger; readonly loss: number } | null;
}

export const sweepRows = ({ sweeps }: SweepsState): SweepRow[] =>
  sweeps.map(({ spec, submittedAt, jobs }) => {
    const phases: { [P in JobPhase]: number } = {
      ...{ queued: 0, scanning: 0, unlearning: 0, evaluating: 0 },
      ...{ done: 0, failed: 0, cancelled: 0 },
    };
    for (const { state } of jobs) phases[state.phase]++;
    return { name: spec.name, task: spec.task, submittedAt, jobs: jobs.length, phases };
  });

export const jobRows = ({ spec, jobs }: Sweep): JobRow[] =>
  jobs.map((job, k) => ({
    name: job.name,
    model: spec.jobs[k]!.model,
    phase: job.state.phase,
    attempt: job.attempt,
    movedAt: job.movedAt,
    ...(job.state.phase === "failed" ? { reason: job.state.reason } : {}),
    steps: job.searches.reduce((sum, { steps }) => sum + (steps.at(-1)?.step ?? 0), 0),
    searchesDone: job.searches.filter(({ result }) => result !== null).length,
    best: bestOf(job),
  }));

function bestOf({ searches }: Job): JobRow["best"] {
  const found = searches.flatMap(({ steps }) => steps.at(-1)?.best ?? []);
  const [best] = found.sort((a, b) => a.loss - b.loss);
  return best === undefined ? null : { trigger: best.trigger, loss: best.loss };
}
