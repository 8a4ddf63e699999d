/** What people ask about sweeps, out of their state. Pure. */
import type { JobResultMessage, JobRowMessage, Phase, SweepRowMessage } from "../../proto/sweep-messages.ts";
import type { Job, Sweep } from "./sweep.ts";

/** One line of `sweep list`. */
export function sweepRow({ spec, submittedAt, jobs }: Sweep): SweepRowMessage {
  const phases: { [P in Phase]: number } = {
    ...{ queued: 0, scanning: 0, unlearning: 0, evaluating: 0 },
    ...{ done: 0, failed: 0, cancelled: 0 },
  };
  for (const { state } of jobs) phases[state.phase]++;
  const { name, task, priority, weight, maxParallel } = spec;
  return { name, task, submittedAt, jobs: jobs.length, phases, priority, weight, maxParallel };
}

/** Jobs of a sweep, as far as they are, in their order. */
export const jobRows = ({ spec, jobs }: Sweep): JobRowMessage[] =>
  jobs.map((job, k) => rowOf(job, spec.jobs[k]!.model));

/** The same of those that `names` has. */
export const someJobRows = ({ spec, jobs }: Sweep, names: ReadonlySet<string>): JobRowMessage[] =>
  jobs.flatMap((job, k) => (names.has(job.name) ? [rowOf(job, spec.jobs[k]!.model)] : []));

/** Jobs with their reports, in their order. */
export const jobResults = ({ spec, jobs }: Sweep): JobResultMessage[] =>
  jobs.map((job, k) => ({
    job: rowOf(job, spec.jobs[k]!.model),
    reportJson: job.state.phase === "done" ? JSON.stringify(job.state.report) : "",
  }));

const rowOf = (job: Job, model: string): JobRowMessage => ({
  name: job.name,
  model,
  phase: job.state.phase,
  attempt: job.attempt,
  movedAt: job.movedAt,
  reason: reasonOf(job),
  steps: stepsOf(job),
  searchesDone: job.searches.filter(({ result }) => result !== null).length,
  best: bestOf(job),
});

function reasonOf({ state }: Job): string {
  if (state.phase === "failed") return state.reason;
  return state.phase === "done" && state.doubted !== undefined ? `in doubt: ${state.doubted}` : "";
}

/** Committed steps of all searches. */
export const stepsOf = ({ searches }: Job): number =>
  searches.reduce((sum, { steps }) => sum + (steps.at(-1)?.step ?? 0), 0);

function bestOf({ searches }: Job): JobRowMessage["best"] {
  const found = searches.flatMap(({ steps }) => steps.at(-1)?.best ?? []);
  const [best] = found.sort((a, b) => a.loss - b.loss);
  return best === undefined ? null : { ids: best.trigger, loss: best.loss };
}
