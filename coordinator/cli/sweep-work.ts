import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Executor } from "../../proto/operations.ts";
import { decodeTensors, encodeTensors } from "../../proto/tensors.ts";
import { VectorCache } from "../../proto/vector-cache.ts";
import type { PairSearchResult, ScanResult, SearchResult } from "../search/scan-result.ts";
import type { RepairCommit } from "../sweep/job-state.ts";
import type {
  CommittedScan,
  JobReport,
  JobWork,
  OpenedJob,
  OpenJob,
  Provenance,
  ScanCommits,
} from "../sweep/job-work.ts";
import {
  type CleanOutcome,
  cleanRows,
  measureAndWrite,
  prepareClean,
  type Scanned,
  unlearnTriggers,
} from "./clean-parts.ts";
import type { ClusterContext } from "./command.ts";
import { JobFolder } from "./job-folder.ts";
import type { Repaired, RepairReport } from "./repair.ts";
import { cleanOptionsOf } from "./sweep-settings.ts";

export interface JobExecutor extends Executor {
  readonly provenance?: Provenance;
  close(): void | Promise<void>;
}

/** What the jobs of all sweeps work with. */
export interface SweepWorkOptions {
  /** The files of job J of sweep S lie in `S/J` below it. */
  readonly results: string;
  /** Of the log: who comes after this one has a higher one. */
  readonly term: number;
  /** Made for each job, for its device class where it has one, and closed with it. Jobs have artifacts in common: what one lets go of must stay while another one holds it. */
  readonly newExecutor: (job: OpenedJob) => JobExecutor | Promise<JobExecutor>;
  /** Of what a checkpoint answered about rows, kept while its job runs; of each job. */
  readonly answerBytes: number;
  readonly meter: ClusterContext["meter"];
  readonly displayOf: (job: OpenedJob) => ClusterContext["display"];
}

/** How jobs are worked on with real models: as `elibad clean` does it, part by part. */
export const openCleanJob =
  ({ results, term, newExecutor, answerBytes, meter, displayOf }: SweepWorkOptions): OpenJob =>
  async (job) => {
    const folder = await JobFolder.open(join(results, job.sweep, job.job), term);
    const given = cleanOptionsOf(job.options, folder.out);
    const prepared = await prepareClean(given);
    const { opened } = prepared;
    cleanRows(given, opened);
    const executor = await newExecutor(job);
    const answers = new VectorCache(answerBytes);
    const display = displayOf(job);
    const contextOf = (signal: AbortSignal): ClusterContext => ({
      executor,
      meter,
      display,
      answers,
      signal,
    });

    /** The scan whose searches all have a result: nothing is computed for it any more. */
    const scanned = (committed: CommittedScan, signal: AbortSignal): Promise<Scanned> =>
      prepared.scan(contextOf(signal), undefined, committed);

    const work: JobWork = {
      get deviceClass() {
        return executor.deviceClass;
      },
      provenance: executor.provenance,
      async scan(commits, signal) {
        const isFresh = commits.resume.size === 0 && job.wasTakenBack !== true;
        const partial = await (isFresh ? folder.beginFresh() : folder.goOn());
        if (given.trace) await folder.cutTraces(commits.resume);
        const kept = given.trace ? withTraces(commits, folder) : commits;
        const { triggers } = await prepared.scan(contextOf(signal), partial, kept);
        return triggers.length;
      },
      async unlearn(committed, signal) {
        const { triggers } = await scanned(committed, signal);
        const { weights, report } = await unlearnTriggers(given, opened, triggers, contextOf(signal));
        const tensors = [...weights].map(([name, data]) => [name, { shape: [data.length], data }] as const);
        return {
          weights: await folder.keep(encodeTensors(Object.fromEntries(tensors))),
          report: await folder.keep(Buffer.from(JSON.stringify(report))),
        };
      },
      async evaluate(committed, repair, signal) {
        const known = folder.report();
        if (known !== undefined) {
          await folder.publish();
          return known as JobReport;
        }
        const partial = await folder.again();
        rmSync(join(partial, "repaired"), { recursive: true, force: true });
        const { result, measure } = await scanned(committed, signal);
        const repaired = repair && (await repairedOf(repair, folder));
        const outcome = await measureAndWrite(given, opened, { repaired, measure }, partial);
        if (given.trace) await folder.joinTraces();
        const report = jobReport(result, outcome, folder.out);
        await executor.provenance?.settled(signal);
        await folder.complete(report);
        await folder.publish();
        return report;
      },
      async close() {
        await executor.close();
      },
    };
    return work;
  };

/** Lines of a step lie on the disk before the step is committed. */
const withTraces = (commits: ScanCommits, folder: JobFolder): ScanCommits => ({
  ...commits,
  async onCommit(search, state, lines) {
    await folder.addToTrace(search, lines);
    await commits.onCommit(search, state, lines);
  },
});

async function repairedOf({ weights, report }: RepairCommit, folder: JobFolder): Promise<Repaired> {
  const tensors = Object.entries(decodeTensors(await folder.kept(weights)));
  return {
    weights: new Map(tensors.map(([name, { data }]) => [name, data as Float32Array])),
    steps: [],
    report: JSON.parse(Buffer.from(await folder.kept(report)).toString("utf8")) as RepairReport,
  };
}

/** What the log keeps of a job that is done, and `sweep results` shows: what was found and what became of it, without rows. Keys as in `result.json` and `repair.json`. */
export interface CleanJobReport {
  /** Where its files are. */
  readonly folder: string;
  readonly searches: readonly (FoundOf<SearchResult> | FoundOf<PairSearchResult>)[];
  readonly scan_seconds: number;
  /** Null where no trigger was worth unlearning. */
  readonly repair: {
    readonly plan: RepairReport["plan"];
    readonly triggers: RepairReport["triggers"];
    readonly stage: string | null;
    readonly because: string | null;
    readonly triggers_dead: boolean | null;
    readonly seconds: number;
  } | null;
  readonly measured_on: string;
  readonly before: CleanOutcome["before"];
  readonly after: CleanOutcome["after"];
}

/** A search's result with counts in the place of rows. */
type FoundOf<S extends SearchResult | PairSearchResult> = Omit<S, "samples" | "held_out" | "digests"> & {
  readonly samples: number;
  readonly held_out: number;
  readonly search_digest: string;
};

function jobReport(
  { searches, seconds }: ScanResult,
  { repair, measured_on, before, after }: CleanOutcome,
  folder: string,
): JobReport {
  const report: CleanJobReport = {
    folder,
    searches: searches.map(({ samples, held_out, digests, ...found }) => ({
      ...found,
      samples: samples.length,
      held_out: held_out.length,
      search_digest: digests.search,
    })),
    scan_seconds: seconds,
    repair: repair && {
      plan: repair.plan,
      triggers: repair.triggers,
      stage: repair.auto?.stage ?? null,
      because: repair.auto?.because ?? null,
      triggers_dead: repair.auto?.triggers_dead ?? null,
      seconds: repair.seconds,
    },
    ...{ measured_on, before, after },
  };
  return JSON.parse(JSON.stringify(report)) as JobReport;
}
