/** What becomes of the jobs when a worker turns out to give wrong results. Pure. */
import { isActive, type JobEvent } from "./job-state.ts";
import { type Job, type JobId, jobIdText, type SearchProgress, type SweepsState } from "./sweep.ts";

/**
 * Events of all jobs that rest on unchecked results of a worker. Each search goes back to the step before the first one that holds some; what was
 * computed beside the steps (what searches found, a repair, an evaluation) is computed again. Jobs that are done are doubted.
 *
 * @param running jobs (`sweep/job`) that work with such results at the moment, whether or not any of them is committed
 */
export function withoutResultsOf(
  { sweeps }: SweepsState,
  { workerId, reason }: { readonly workerId: string; readonly reason: string },
  running: ReadonlySet<string>,
): { readonly id: JobId; readonly event: JobEvent }[] {
  const why = `worker ${workerId} was expelled, since ${reason}`;
  return sweeps.flatMap(({ spec, jobs }) =>
    jobs.flatMap((job) => {
      const id = { sweep: spec.name, job: job.name };
      if (!restsOn(job, workerId) && !running.has(jobIdText(id))) return [];
      const event = eventOf(job, workerId, why);
      return event === undefined ? [] : [{ id, event }];
    }),
  );
}

/**
 * What becomes of a job that is gone on with, where results that it rests on were being checked when nobody worked on it any more: nobody will say how those
 * checks would have ended. Undefined where there are none.
 */
export function withoutOpenChecks({ searches, checking = [] }: Job): JobEvent | undefined {
  if (checking.length === 0 && searches.every((search) => search.checking === undefined)) return undefined;
  return {
    kind: "taken-back",
    reason:
      "results that it rests on were being checked when its work was interrupted: they are computed again",
    searches: searches.map((search) => backTo(search, search.checking?.[0])),
  };
}

/** A search without its result, and without the steps from this one on. */
const backTo = ({ search, steps }: SearchProgress, first: number | undefined) => ({
  search,
  step: first === undefined ? (steps.at(-1)?.step ?? 0) : Math.max(0, first - 1),
});

function eventOf(
  { state, searches, wasTakenBack }: Job,
  workerId: string,
  reason: string,
): JobEvent | undefined {
  if (state.phase === "done") return state.doubted === undefined ? { kind: "doubted", reason } : undefined;
  // A job that is not begun has nothing to take back.
  if (!isActive(state) && searches.length === 0 && wasTakenBack === undefined) return undefined;
  return {
    kind: "taken-back",
    reason,
    searches: searches.map((search) => backTo(search, search.unchecked?.[workerId]?.[0])),
  };
}

const restsOn = ({ searches, unchecked = {} }: Job, workerId: string): boolean =>
  Object.values(unchecked).some((workers) => workers.includes(workerId)) ||
  searches.some((search) => search.unchecked?.[workerId] !== undefined);
