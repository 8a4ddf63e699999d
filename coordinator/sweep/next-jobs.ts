/** Which jobs are worked on next. Pure: it follows from the log's state and from what runs. */
import { isActive } from "./job-state.ts";
import { type JobId, jobIdText, type Sweep, type SweepsState } from "./sweep.ts";

/** A sweep while its share of the starts is dealt out. */
interface Share {
  readonly sweep: Sweep;
  /** Names of jobs that may start, in their order. */
  readonly queued: string[];
  /** Jobs that are worked on, or whose work is still ending. */
  active: number;
  served: number;
}

/**
 * Jobs to start now. First those that an earlier run began, in the order of their sweeps; then queued ones: of the highest priority, of the sweep
 * that was served least for its weight, the first submitted among equals. A sweep has at most `maxParallel` jobs at a time, all together `limit`.
 *
 * @param running jobs (`sweep/job`) that are worked on, also those that are about to end and count as cancelled already
 */
export function nextJobs(
  { sweeps }: SweepsState,
  running: ReadonlySet<string>,
  limit: number,
): readonly JobId[] {
  const chosen: JobId[] = [];
  const free = (): number => limit - running.size - chosen.length;
  const shares = sweeps.map((sweep): Share => {
    const { name, maxParallel, weight } = sweep.spec;
    const runs = (job: string): boolean => running.has(jobIdText({ sweep: name, job }));
    const own = { active: 0, served: sweep.served };
    const queued: string[] = [];
    for (const { name: job, state } of sweep.jobs) {
      if (runs(job)) {
        own.active++;
        // It was chosen, but its start is not in the log yet.
        if (state.phase === "queued") own.served += 1 / weight;
      } else if (state.phase === "queued") queued.push(job);
      else if (isActive(state) && free() > 0 && own.active < maxParallel) {
        chosen.push({ sweep: name, job });
        own.active++;
      }
    }
    return { sweep, queued, ...own };
  });
  while (free() > 0) {
    const next = shares
      .filter(({ sweep, queued, active }) => queued.length > 0 && active < sweep.spec.maxParallel)
      .reduce<Share | undefined>(
        (best, share) => (best && !goesBefore(share, best) ? best : share),
        undefined,
      );
    if (next === undefined) break;
    chosen.push({ sweep: next.sweep.spec.name, job: next.queued.shift()! });
    next.active++;
    next.served += 1 / next.sweep.spec.weight;
  }
  return chosen;
}

const goesBefore = (a: Share, b: Share): boolean =>
  a.sweep.spec.priority === b.sweep.spec.priority
    ? a.served < b.served
    : a.sweep.spec.priority > b.sweep.spec.priority;
