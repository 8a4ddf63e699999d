/** Follows what the log really took, record by record, and holds it against the invariants of commits. */
import type { JobEvent, JobState } from "../../coordinator/sweep/job-state.ts";
import type { SweepRecord } from "../../coordinator/sweep/records.ts";
import type { SweepSpec } from "../../coordinator/sweep/sweep.ts";
import { canonicalJson } from "../../proto/canonical-json.ts";
import type { CalmRun } from "./calm-run.ts";
import type { LedgerJob, LedgerSweep } from "./invariants.ts";
import * as invariants from "./invariants.ts";
import type { Written } from "./virtual-store.ts";

export interface LedgerOptions {
  /** Jobs that a runner works on at a time. */
  readonly limit: number;
  readonly calmRun: (sweep: string, job: string, deviceClass: string | undefined) => CalmRun;
  /** Workers that gave wrong answers so far. */
  readonly liars: ReadonlySet<string>;
  readonly onTransition: (from: string, event: string) => void;
  /** A job failed since workers were lost with one of its operations. */
  readonly onWorkersLost: () => void;
}

export class CommitLedger {
  readonly sweeps = new Map<string, LedgerSweep>();
  readonly #expelled = new Set<string>();
  readonly #options: LedgerOptions;

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  take(written: Written): void {
    invariants.oneWriterATerm(written);
    for (const text of written.values) this.#record(JSON.parse(text) as SweepRecord);
  }

  #record(record: SweepRecord): void {
    if (record.kind === "sweep-submitted") {
      this.#submitted(record.spec);
      return;
    }
    if (record.kind === "worker-expelled") {
      this.#expelled.add(record.workerId);
      return;
    }
    const sweep = this.sweeps.get(record.sweep)!;
    if (record.kind === "sweep-removed") {
      this.sweeps.delete(record.sweep);
      return;
    }
    const id = `${record.sweep}/${record.job}`;
    const job = sweep.jobs.get(record.job)!;
    switch (record.kind) {
      case "job-moved":
        this.#moved(sweep, job, id, record.job, record.event);
        return;
      case "step-committed":
        invariants.monotoneCommit(job, record);
        invariants.oneDeviceClass(job, id, record.deviceClass);
        job.deviceClass ??= record.deviceClass;
        this.#committed(sweep, job, record);
        return;
      case "search-found": {
        const { search, steps } = record.result;
        job.searches.set(search, { ...job.searches.get(search), step: steps, isFound: true });
        this.#restsOn(job, record.unchecked);
        return;
      }
      case "results-checked": {
        const { of, workers } = record;
        const wrong = of.kind === "step" ? job.searches.get(of.search)?.wrong : undefined;
        if (of.kind !== "step" || wrong === undefined || wrong.step !== of.step) return;
        for (const worker of workers) wrong.liars.delete(worker);
        invariants.noLieIsCleared(id, wrong.liars.size);
        return;
      }
      case "tile-measured":
        return;
    }
  }

  /** When everything is over. */
  judgeEnd(): void {
    for (const [name, { jobs }] of this.sweeps)
      for (const [job, { phase, isWrong, isDoubted, lies }] of jobs)
        if (phase === "done" && isWrong && [...lies].some((liar) => this.#expelled.has(liar)))
          invariants.noLieStands(`${name}/${job}`, isDoubted);
  }

  #committed(
    sweep: LedgerSweep,
    job: LedgerJob,
    record: Extract<SweepRecord, { kind: "step-committed" }>,
  ): void {
    const known = job.searches.get(record.search);
    const calm = this.#calm(sweep, record.job, job);
    const liars = this.#liarsAmong(record.unchecked);
    invariants.sameStepAsCalm(calm, known?.wrong !== undefined || liars.size > 0, record);
    const { step } = record.step;
    const isWrong = record.results !== calm.steps.get(`${record.search} ${step}`);
    const wrong = known?.wrong ?? (isWrong ? { step, liars } : undefined);
    job.searches.set(record.search, { step, isFound: false, wrong });
  }

  #liarsAmong(workers: readonly string[] = []): Set<string> {
    return new Set(workers.filter((worker) => this.#options.liars.has(worker)));
  }

  #restsOn(job: LedgerJob, workers: readonly string[] | undefined): void {
    for (const liar of this.#liarsAmong(workers)) job.lies.add(liar);
  }

  #evaluated(
    sweep: LedgerSweep,
    job: LedgerJob,
    name: string,
    event: Extract<JobEvent, { kind: "evaluated" }>,
  ): void {
    this.#restsOn(job, event.unchecked);
    for (const { wrong } of job.searches.values()) for (const liar of wrong?.liars ?? []) job.lies.add(liar);
    const calm = this.#calm(sweep, name, job);
    invariants.sameReportAsCalm(calm, job.lies.size > 0, `${sweep.spec.name}/${name}`, event.report);
    job.isWrong = canonicalJson(event.report) !== calm.report;
  }

  #submitted(spec: SweepSpec): void {
    const known = this.sweeps.has(spec.name);
    invariants.legalTransition(spec.name, "queued", known ? "submitted a second time" : "started");
    const live = [...this.sweeps.values()].filter(hasLive).map(({ served }) => served);
    const jobs = spec.jobs.map(({ name }): [string, LedgerJob] => [name, newJob()]);
    this.sweeps.set(spec.name, {
      spec,
      jobs: new Map(jobs),
      served: live.length === 0 ? 0 : Math.min(...live),
      overtaken: 0,
    });
  }

  #moved(sweep: LedgerSweep, job: LedgerJob, id: string, name: string, event: JobEvent): void {
    invariants.legalTransition(id, job.phase, event.kind);
    this.#options.onTransition(job.phase, event.kind);
    switch (event.kind) {
      case "started":
        this.#started(sweep);
        break;
      case "evaluated":
        this.#evaluated(sweep, job, name, event);
        break;
      case "failed": {
        const { options } = sweep.spec.jobs.find((each) => each.name === name)!;
        invariants.onlyKillersAreGivenUp(id, options.kills === "worker", event.reason);
        if (invariants.isForLostWorkers(event.reason)) this.#options.onWorkersLost();
        break;
      }
      case "unlearned":
        this.#restsOn(job, event.unchecked);
        break;
      case "doubted":
        job.isDoubted = true;
        break;
      case "retried":
        job.attempt++;
        if (event.fresh) {
          job.searches.clear();
          job.deviceClass = undefined;
          job.lies = new Set();
        }
        if (!hasLive(sweep)) {
          const live = [...this.sweeps.values()].filter(hasLive).map(({ served }) => served);
          if (live.length > 0) sweep.served = Math.max(sweep.served, Math.min(...live));
        }
        break;
      case "taken-back":
        for (const { search, step } of event.searches) {
          const known = job.searches.get(search);
          if (known === undefined) continue;
          const wrong = known.wrong && known.wrong.step <= step ? known.wrong : undefined;
          if (step === 0) job.searches.delete(search);
          else job.searches.set(search, { step: Math.min(step, known.step), isFound: false, wrong });
        }
        if (![...job.searches.values()].some(({ isFound }) => isFound)) job.lies.clear();
    }
    job.phase = phaseAfter(job.phase, event);
  }

  #started(sweep: LedgerSweep): void {
    sweep.overtaken = 0;
    for (const other of this.sweeps.values()) {
      if (other === sweep || other.spec.priority < sweep.spec.priority || !couldStart(other)) continue;
      const wasNext = other.spec.priority > sweep.spec.priority || other.served < sweep.served;
      if (!wasNext) continue;
      other.overtaken++;
      invariants.fairStarts(other, this.#options.limit);
    }
    sweep.served += 1 / sweep.spec.weight;
  }

  #calm({ spec }: LedgerSweep, name: string, { deviceClass }: LedgerJob): CalmRun {
    return this.#options.calmRun(spec.name, name, deviceClass);
  }
}

const newJob = (): LedgerJob => ({
  phase: "queued",
  attempt: 1,
  searches: new Map(),
  deviceClass: undefined,
  lies: new Set(),
  isWrong: false,
  isDoubted: false,
});

const hasLive = ({ jobs }: LedgerSweep): boolean =>
  [...jobs.values()].some(({ phase }) => phase === "queued" || invariants.isAtWork(phase));

function couldStart({ spec, jobs }: LedgerSweep): boolean {
  const phases = [...jobs.values()].map(({ phase }) => phase);
  return phases.includes("queued") && phases.filter(invariants.isAtWork).length < spec.maxParallel;
}

/** The table of the design, written again. */
function phaseAfter(before: JobState["phase"], event: JobEvent): JobState["phase"] {
  switch (event.kind) {
    case "started":
      return "scanning";
    case "taken-back":
      return invariants.isAtWork(before) ? "scanning" : before;
    case "doubted":
      return before;
    case "scanned":
      return event.found > 0 ? "unlearning" : "evaluating";
    case "unlearned":
      return "evaluating";
    case "evaluated":
      return "done";
    case "retried":
      return "queued";
    default:
      return event.kind;
  }
}
