/** What the records of the log make of the sweeps, one after the other. Pure: the same records give the same state. */
import type { Committed } from "../search/planned-searches.ts";
import { type AnySearchState, type CommittedStep, searchStateAfter } from "./committed-step.ts";
import {
  type EventFor,
  isLive,
  type JobEvent,
  type JobPhase,
  moved,
  type StateOf,
  takes,
} from "./job-state.ts";
import type { RecordOf, SweepRecord } from "./records.ts";
import {
  type Job,
  type JobId,
  jobIdText,
  type SearchProgress,
  type Sweep,
  type SweepsState,
} from "./sweep.ts";

/** A record that does not follow from what is there: a job that is not, a step that was not its turn, an event that the state does not take. */
export class IllegalRecordError extends Error {
  override readonly name = "IllegalRecordError";
}

/** The state after one more record. @throws IllegalRecordError where the record cannot come next; nothing changes then */
export function fold(state: SweepsState, record: SweepRecord): SweepsState {
  switch (record.kind) {
    case "sweep-submitted":
      return submitted(state, record);
    case "sweep-removed":
      return removed(state, record);
    case "job-moved":
      return jobMoved(state, record);
    case "step-committed":
      return withJob(state, record, (job) =>
        withSearch(ofClass(job, record), record.search, (search) => {
          trusted(state, record.unchecked);
          return stepCommitted(job, search, record);
        }),
      );
    case "tile-measured":
      return withJob(state, record, (job) => tileMeasured(job, record));
    case "search-found":
      return withJob(state, record, (job) =>
        restingOn(
          withSearch(job, record.result.search, (search) => ({ ...search, result: record.result })),
          foundBy(record.result.search),
          { ...record, unchecked: trusted(state, record.unchecked) },
        ),
      );
    case "results-checked":
      return withJob(state, record, (job) => resultsChecked(job, record));
    case "worker-expelled": {
      const { kind: _, ...expelled } = record;
      return { ...state, expelled: [...(state.expelled ?? []), expelled] };
    }
  }
}

function submitted(state: SweepsState, { spec, at }: RecordOf<"sweep-submitted">): SweepsState {
  if (state.sweeps.some((sweep) => sweep.spec.name === spec.name))
    throw new IllegalRecordError(`there is a sweep '${spec.name}' already`);
  const names = new Set<string>();
  for (const { name } of spec.jobs) {
    if (names.has(name))
      throw new IllegalRecordError(`sweep ${spec.name}: two models have the name '${name}'`);
    names.add(name);
  }
  const sweep: Sweep = {
    spec,
    submittedAt: at,
    jobs: spec.jobs.map(({ name }) => ({
      name,
      state: { phase: "queued" },
      attempt: 1,
      movedAt: at,
      searches: [],
    })),
    served: leastServed(state) ?? 0,
  };
  return { ...state, sweeps: [...state.sweeps, sweep] };
}

function removed(state: SweepsState, { sweep }: RecordOf<"sweep-removed">): SweepsState {
  const own = findOrThrow(state, sweep);
  if (hasLive(own)) throw new IllegalRecordError(`sweep ${sweep} is not over: it cannot be removed`);
  return { ...state, sweeps: state.sweeps.filter((each) => each !== own) };
}

function jobMoved(state: SweepsState, record: RecordOf<"job-moved">): SweepsState {
  const { event, at } = record;
  const after = withJob(state, record, (job) => {
    if (!takes(job.state, event))
      throw new IllegalRecordError(
        `job ${jobIdText(record)} is ${job.state.phase}: it cannot be ${event.kind}`,
      );
    // Checked above: outside of it the compiler refuses such an event.
    const next = moved(job.state as StateOf<JobPhase>, event as EventFor<JobPhase>);
    const { deviceClass: _, tile: __, unchecked: ___, checking: ____, ...fresh } = job;
    const searches = searchesAfter(job, event);
    return {
      ...uncheckedAfter(event.kind === "retried" && event.fresh ? fresh : job, event, searches),
      state: next,
      movedAt: at,
      attempt: job.attempt + (event.kind === "retried" ? 1 : 0),
      searches,
      ...(event.kind === "taken-back" ? { wasTakenBack: true as const } : {}),
    };
  });
  const { sweep } = record;
  if (event.kind === "started")
    return withSweep(after, sweep, (own) => ({ ...own, served: own.served + 1 / own.spec.weight }));
  if (event.kind === "retried" && !hasLive(findOrThrow(state, sweep))) {
    // It comes back among sweeps that went on without it: it has no claim to what it missed.
    const entry = leastServed(state) ?? 0;
    return withSweep(after, sweep, (own) => ({ ...own, served: Math.max(own.served, entry) }));
  }
  return after;
}

/** What stays of a job's committed searches. */
function searchesAfter({ searches }: Job, event: JobEvent): SearchProgress[] {
  if (event.kind === "evaluated" || (event.kind === "retried" && event.fresh)) return [];
  if (event.kind !== "taken-back") return searches;
  const steps = new Map(event.searches.map(({ search, step }) => [search, step]));
  return searches.flatMap((each) => {
    const kept = steps.get(each.search);
    if (kept === undefined) return [each];
    const left = each.steps.filter(({ step }) => step <= kept && step > 0);
    if (left.length === 0) return [];
    const { unchecked = {}, checking = [], ...rest } = each;
    const trust = {
      ...uncheckedSteps(unchecked, (step) => step <= kept),
      ...checkingSteps(checking.filter((step) => step <= kept)),
    };
    return [{ ...rest, ...trust, steps: left, result: null }];
  });
}

/** Of which workers the job has unchecked results beside its steps; once it is done and has no steps any more, at all. */
function uncheckedAfter(job: Job, event: JobEvent, left: readonly SearchProgress[]): Job {
  switch (event.kind) {
    case "unlearned":
      return restingOn(job, REPAIR, event);
    case "evaluated": {
      // Nothing is being checked any more when a job is done.
      const { unchecked, checking: _, ...rest } = job;
      const ofSteps = job.searches.flatMap((search) => Object.keys(search.unchecked ?? {}));
      const ofAll = [...ofSteps, ...Object.values(unchecked ?? {}).flat(), ...(event.unchecked ?? [])];
      return restingOn(rest, ALL, { unchecked: ofAll });
    }
    case "taken-back": {
      // A result that stays rests on what it rested on.
      if (left.some(({ result }) => result !== null)) return job;
      const { unchecked: _, checking: __, ...rest } = job;
      return rest;
    }
    default:
      return job;
  }
}

const foundBy = (search: number): string => `what search ${search} found`;
const REPAIR = "the repair";
const ALL = "all of it";

/** What a job has beside its steps rests on unchecked results of these workers, and no others, and on results that are being checked, or not. */
function restingOn(
  { unchecked = {}, checking = [], ...job }: Job,
  what: string,
  trust: { readonly unchecked?: readonly string[]; readonly checking?: true },
): Job {
  const { [what]: _, ...others } = unchecked;
  const workers = [...new Set(trust.unchecked)].sort();
  const noted = workers.length === 0 ? others : { ...others, [what]: workers };
  const open = checking.filter((each) => each !== what);
  if (trust.checking) open.push(what);
  return {
    ...job,
    ...(Object.keys(noted).length === 0 ? {} : { unchecked: noted }),
    ...(open.length === 0 ? {} : { checking: open }),
  };
}

/** @throws IllegalRecordError where one of them was expelled: what it computed is not committed */
function trusted({ expelled = [] }: SweepsState, workers: readonly string[] = []): readonly string[] {
  const liar = expelled.find(({ workerId }) => workers.includes(workerId));
  if (liar)
    throw new IllegalRecordError(`worker ${liar.workerId} was expelled: nothing of it can be committed`);
  return workers;
}

function uncheckedSteps(
  unchecked: Readonly<Record<string, readonly number[]>>,
  stays: (step: number, workerId: string) => boolean,
): Pick<SearchProgress, "unchecked"> {
  const left = Object.entries(unchecked).flatMap(([workerId, steps]) => {
    const some = steps.filter((step) => stays(step, workerId));
    return some.length === 0 ? [] : [[workerId, some] as const];
  });
  return left.length === 0 ? {} : { unchecked: Object.fromEntries(left) };
}

const checkingSteps = (steps: readonly number[]): Pick<SearchProgress, "checking"> =>
  steps.length === 0 ? {} : { checking: [...steps] };

/** Steps that are not there any more need none. */
function resultsChecked(job: Job, { of, workers }: RecordOf<"results-checked">): Job {
  if (of.kind !== "step") {
    const what = of.kind === "found" ? foundBy(of.search) : REPAIR;
    const left = (job.unchecked?.[what] ?? []).filter((worker) => !workers.includes(worker));
    return restingOn(job, what, { unchecked: left });
  }
  const { search, step } = of;
  const searches = job.searches.map((each) => {
    if (each.search !== search) return each;
    const { unchecked = {}, checking = [], ...rest } = each;
    return {
      ...rest,
      ...uncheckedSteps(unchecked, (at, worker) => at !== step || !workers.includes(worker)),
      ...checkingSteps(checking.filter((at) => at !== step)),
    };
  });
  return { ...job, searches };
}

function tileMeasured(job: Job, { tile, ...id }: RecordOf<"tile-measured">): Job {
  requireScanning(job);
  if (job.tile !== undefined)
    throw new IllegalRecordError(`job ${jobIdText(id)} has measured its tile already`);
  return { ...job, tile };
}

function ofClass(job: Job, { deviceClass = job.deviceClass, ...id }: RecordOf<"step-committed">): Job {
  if (deviceClass === undefined) return job;
  if (job.deviceClass !== undefined && deviceClass !== job.deviceClass)
    throw new IllegalRecordError(
      `job ${jobIdText(id)} was begun on ${job.deviceClass}: a step on ${deviceClass} cannot follow`,
    );
  return { ...job, deviceClass };
}

function stepCommitted(
  job: Job,
  search: SearchProgress,
  { step, ...record }: RecordOf<"step-committed">,
): SearchProgress {
  const place = `job ${jobIdText(record)}, search ${record.search}`;
  if (search.result !== null) throw new IllegalRecordError(`${place}: step ${step.step} after its result`);
  const before = search.steps.at(-1);
  const expected = (before?.step ?? 0) + 1;
  const isEmptySearch = before === undefined && step.step === 0 && step.ended !== null;
  if (step.step !== expected && !isEmptySearch)
    throw new IllegalRecordError(`${place}: step ${step.step} was committed, step ${expected} is next`);
  if (before !== undefined && before.search !== step.search)
    throw new IllegalRecordError(`${place}: step ${step.step} is of another search (attempt ${job.attempt})`);
  const { unchecked, checking = [], ...rest } = search;
  const added = { ...unchecked };
  for (const worker of record.unchecked ?? []) added[worker] = [...(added[worker] ?? []), step.step];
  const noted = Object.keys(added).length === 0 ? {} : { unchecked: added };
  const open = checkingSteps(record.checking ? [...checking, step.step] : checking);
  return { ...rest, ...noted, ...open, steps: [...search.steps, step] };
}

function requireScanning({ name, state }: Job): void {
  if (state.phase === "scanning") return;
  throw new IllegalRecordError(`job ${name} is ${state.phase}: nothing of its scan can be committed`);
}

function withSearch(job: Job, number: number, change: (search: SearchProgress) => SearchProgress): Job {
  requireScanning(job);
  const known = job.searches.find(({ search }) => search === number);
  if (known === undefined)
    return { ...job, searches: [...job.searches, change({ search: number, steps: [], result: null })] };
  return { ...job, searches: job.searches.map((each) => (each === known ? change(each) : each)) };
}

function withJob(state: SweepsState, { sweep, job: name }: JobId, change: (job: Job) => Job): SweepsState {
  return withSweep(state, sweep, (own) => {
    const index = own.jobs.findIndex((job) => job.name === name);
    if (index < 0) throw new IllegalRecordError(`sweep ${sweep} has no job '${name}'`);
    return { ...own, jobs: own.jobs.with(index, change(own.jobs[index]!)) };
  });
}

function withSweep(state: SweepsState, name: string, change: (sweep: Sweep) => Sweep): SweepsState {
  const sweep = findOrThrow(state, name);
  return { ...state, sweeps: state.sweeps.with(state.sweeps.indexOf(sweep), change(sweep)) };
}

function findOrThrow({ sweeps }: SweepsState, name: string): Sweep {
  const sweep = sweeps.find(({ spec }) => spec.name === name);
  if (sweep === undefined) throw new IllegalRecordError(`there is no sweep '${name}'`);
  return sweep;
}

const hasLive = ({ jobs }: Sweep): boolean => jobs.some(({ state }) => isLive(state));

/** Where a sweep that comes in begins to be served: beside the one that is next, neither before it nor behind it. */
function leastServed({ sweeps }: SweepsState): number | undefined {
  const live = sweeps.filter(hasLive).map(({ served }) => served);
  return live.length === 0 ? undefined : Math.min(...live);
}

/** What a scan goes on from: each search's state after its last committed step, or its result. */
export function committedSearches({
  searches,
}: Job): Map<number, Committed<AnySearchState, NonNullable<SearchProgress["result"]>>> {
  return new Map(
    searches.map(({ search, steps, result }) => [
      search,
      result === null ? { state: searchStateAfter(steps as readonly CommittedStep[]) } : { result },
    ]),
  );
}
