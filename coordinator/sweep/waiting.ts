/** Why a job is in the queue. Pure. */
import { isActive, isLive } from "./job-state.ts";
import { nextJobs } from "./next-jobs.ts";
import { type JobId, jobIdText, requireSweep, type SweepsState } from "./sweep.ts";

/** What holds a queued job back, the most important first. @param limit jobs at a time, of all sweeps together */
export function whyQueued(state: SweepsState, id: JobId, limit: number): string[] {
  const { spec, jobs } = requireSweep(state, id.sweep);
  const active = jobs.filter((job) => isActive(job.state)).length;
  const running = state.sweeps.reduce(
    (sum, sweep) => sum + sweep.jobs.filter((job) => isActive(job.state)).length,
    0,
  );
  const before = placeInQueue(state, id);
  const above = state.sweeps.filter(
    (sweep) => sweep.spec.priority > spec.priority && sweep.jobs.some((job) => isLive(job.state)),
  );
  return [
    before === 0
      ? "it is the next one to start"
      : `${before} ${before === 1 ? "job starts" : "jobs start"} before it`,
    ...(running >= limit
      ? [`the coordinator is at work on ${running} of at most ${limit} jobs (--jobs-in-flight)`]
      : []),
    ...(active >= spec.maxParallel
      ? [`its sweep has ${active} of at most ${spec.maxParallel} jobs at work (max_parallel)`]
      : []),
    ...above.map(
      (sweep) =>
        `sweep '${sweep.spec.name}' goes first (priority ${sweep.spec.priority}, its own ${spec.priority})`,
    ),
  ];
}

/** Queued jobs that start before this one, as things are. */
function placeInQueue(state: SweepsState, id: JobId): number {
  // In the order of starts, whatever the bounds on jobs at a time.
  const unbounded = {
    ...state,
    sweeps: state.sweeps.map((sweep) => ({
      ...sweep,
      spec: { ...sweep.spec, maxParallel: Number.MAX_SAFE_INTEGER },
      jobs: sweep.jobs.filter((job) => job.state.phase === "queued"),
    })),
  };
  const order = nextJobs(unbounded, new Set(), Number.MAX_SAFE_INTEGER);
  return order.findIndex((each) => jobIdText(each) === jobIdText(id));
}
