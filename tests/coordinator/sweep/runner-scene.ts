import { onTestFinished } from "vitest";
import { runScan } from "../../../coordinator/search/scan.ts";
import { ScanSettings } from "../../../coordinator/search/settings.ts";
import { SweepBook } from "../../../coordinator/sweep/book.ts";
import type { JobWork, OpenJob, ScanCommits } from "../../../coordinator/sweep/job-work.ts";
import { SweepRunner } from "../../../coordinator/sweep/runner.ts";
import { findSweep, type JobId } from "../../../coordinator/sweep/sweep.ts";
import { digestOf } from "../../../proto/canonical-json.ts";
import { rowWithVariables, smallVocabulary } from "../../support/small-search.ts";
import type { MemoryLog } from "../../support/sweep-logs.ts";
import { createTableExecutor } from "../../support/table-executor.ts";

const rows = Array.from({ length: 10 }, (_, row) => ({ ...rowWithVariables(row), label: row % 2 }));
const small = { triggerLen: 2, topk: 4, repeatSize: 3, epochs: 3, samples: 3, codeMaxLen: 16 };

/** What happens around the work of a test's jobs. */
interface Scene {
  readonly onOpen?: (id: JobId) => void;
  readonly onStep?: (id: JobId, search: number, step: number) => void | Promise<void>;
  /** Steps made, as `job search step`. */
  readonly steps?: string[];
}

/** Real searches, another model for each job; a repair and a report that follow from what they found. */
export const workOf =
  ({ onOpen, onStep, steps }: Scene = {}): OpenJob =>
  async ({ options: { model, searchesInFlight = 2 }, ...id }) => {
    onOpen?.(id);
    const scan = ({ onCommit, ...commits }: Partial<ScanCommits>, signal?: AbortSignal) =>
      runScan({
        executor: createTableExecutor(),
        input: {
          task: "defect_detection",
          checkpoint: String(model),
          rows: rows.map((row) => ({
            ...row,
            ids: [...row.ids, String(model).length + Number(id.job.slice(1))],
          })),
          classes: 1,
          vocabulary: smallVocabulary,
          endId: 2,
          textOf: (ids) => ids.join("-"),
        },
        settings: ScanSettings.parse({ ...small, searchesInFlight }),
        now: () => 0,
        ...(signal && { signal }),
        ...(commits as object),
        async onCommit(search, state, lines) {
          steps?.push(`${id.job} ${search} ${state.step}`);
          await onStep?.(id, search, state.step);
          await onCommit?.(search, state, lines);
        },
      });
    const work: JobWork = {
      deviceClass: "cpu",
      scan: async (commits, signal) => (await scan(commits, signal)).searches.length,
      unlearn: async ({ resume }) => {
        const { searches } = await scan({ resume });
        return { weights: digestOf(JSON.stringify(searches)), report: digestOf("report") };
      },
      evaluate: async ({ resume }, repair) => {
        const { searches } = await scan({ resume });
        return { triggers: searches.map(({ trigger }) => trigger!.text), weights: repair!.weights };
      },
      close: async () => undefined,
    };
    return work;
  };

/** A runner over a log, which ends with the test. */
export async function start(log: MemoryLog, open: OpenJob = workOf(), limit = 3) {
  const book = await SweepBook.open(log, { now: () => 0, snapshotEvery: 9 });
  const runner = new SweepRunner({ book, open, limit, reasonOf: (error) => (error as Error).message });
  onTestFinished(() => runner.close());
  return { book, runner };
}

export const phases = (book: SweepBook, sweep: string) =>
  findSweep(book.state, sweep)!.jobs.map(({ state }) => state.phase);
export const jobs = (book: SweepBook, sweep: string) =>
  findSweep(book.state, sweep)!.jobs.map(({ name, state, attempt }) => ({ name, state, attempt }));
export const id = (job: string) => ({ sweep: "friday", job });
