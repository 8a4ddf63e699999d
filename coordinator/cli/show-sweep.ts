/** Sweeps and their jobs as a person reads them. */
import { type JobRowMessage, PHASES, type SweepRowMessage } from "../../proto/sweep-messages.ts";
import { table } from "./table.ts";

export const countText = (count: number, unit: string): string =>
  `${count} ${count === 1 ? unit : `${unit}s`}`;

/** One line a sweep. */
export const sweepTable = (sweeps: readonly SweepRowMessage[]): string =>
  table([
    ["sweep", "task", "jobs", "queued", "running", "done", "failed", "cancelled", "submitted"],
    ...sweeps.map(({ name, task, jobs, phases, submittedAt }) => [
      ...[name, task, String(jobs), String(phases.queued)],
      ...[String(phases.scanning + phases.unlearning + phases.evaluating)],
      ...[phases.done, phases.failed, phases.cancelled].map(String),
      timeText(submittedAt),
    ]),
  ]);

/** One line a job. */
export const jobTable = (jobs: readonly JobRowMessage[]): string =>
  table([
    ["job", "state", "steps", "best loss", "since", "model"],
    ...jobs.map((job) => [
      job.name,
      stateText(job),
      job.steps === 0 ? "–" : String(job.steps),
      job.best === null ? "–" : job.best.loss.toFixed(4),
      timeText(job.movedAt),
      job.model,
    ]),
  ]);

/** `failed: no such folder`, with the attempt where it is not the first. */
export const stateText = ({ phase, reason, attempt }: JobRowMessage): string =>
  `${phase}${attempt > 1 ? ` (attempt ${attempt})` : ""}${reason === "" ? "" : `: ${reason}`}`;

/** `friday: 12 of 24 done, 3 scanning, 9 queued`. */
export function sweepLine({ name, jobs, phases }: SweepRowMessage): string {
  const others = PHASES.filter((phase) => phase !== "done" && phases[phase] > 0).map(
    (phase) => `${phases[phase]} ${phase}`,
  );
  return [`${name}: ${phases.done} of ${jobs} done`, ...others].join(", ");
}

/** Whether all jobs of a sweep are over. */
export const isOver = ({ jobs, phases }: SweepRowMessage): boolean =>
  phases.done + phases.failed + phases.cancelled === jobs;

/** `2026-11-26 12:03:04`, in the user's own time. */
function timeText(atMs: number): string {
  const at = new Date(atMs - new Date(atMs).getTimezoneOffset() * 60_000);
  return at.toISOString().slice(0, 19).replace("T", " ");
}
