import { status, type UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type {
  BackupChunkMessage,
  CancelRequest,
  ExplanationMessage,
  JobNameMessage,
  RemoveRequest,
  RetryRequest,
  SweepFileMessage,
  SweepNameMessage,
  WatchRequest,
} from "../../proto/sweep-messages.ts";
import type { UploadStore } from "../sources/upload-store.ts";
import type { SweepBook } from "../sweep/book.ts";
import { type JobId, requireSweep, type SweepSpec } from "../sweep/sweep.ts";
import { jobResults, sweepRow } from "../sweep/views.ts";
import { withinTime } from "./bounded-change.ts";
import { CallError, failing, streaming, unary } from "./calls.ts";
import { portions } from "./portions.ts";
import { uploadCalls } from "./upload-calls.ts";
import { rowBytes, watchSweep } from "./watch.ts";

/** What calls about sweeps are answered from. */
export interface SweepHost {
  readonly book: SweepBook;
  /** @throws InputError naming file, line and key; SourceError naming an upload that is not whole */
  readFile(file: SweepFileMessage): Promise<SweepSpec>;
  readonly removal: {
    /**
     * Removes a sweep that is over, with its results unless they are to be kept; answers the folder in which they stay then.
     *
     * @throws UnknownNameError; SweepNotOverError
     */
    remove(sweep: string, keeping: { readonly keepResults: boolean }): Promise<string>;
    /** @throws CallError where a sweep of this name is being removed */
    requireStays(sweep: string): void;
  };
  /** @throws UnknownNameError */
  explain(id: JobId): ExplanationMessage;
  /** What clients send before they submit a sweep. */
  readonly uploads: UploadStore;
  /** All that the log holds. */
  backup(): AsyncIterable<BackupChunkMessage>;
  /** How long a call waits for the log; absent: `CHANGE_MS`. */
  readonly changeMs?: number;
  /** Fires when this coordinator keeps the sweeps no more: who watches them is to ask another one. */
  readonly over: AbortSignal;
}

/** The calls about sweeps, by their names in the service. */
export function sweepCalls(host: SweepHost, logger: Pick<Logger, "info" | "error">) {
  const { book, over } = host;
  const inTime = <T>(change: Promise<T>): Promise<T> => withinTime(change, book, host.changeMs);
  return {
    ...uploadCalls(host.uploads, logger),
    SubmitSweep: unary(async (file: SweepFileMessage) => {
      const spec = await host.readFile(file);
      host.removal.requireStays(spec.name);
      const isNew = await inTime(book.submit(spec));
      if (isNew) logger.info({ sweep: spec.name, jobs: spec.jobs.length }, "a sweep was submitted");
      return { sweep: sweepRow(requireSweep(book.state, spec.name)), isNew };
    }, logger),
    ListSweeps: streaming(async function* () {
      for (const sweeps of portions(book.state.sweeps.map(sweepRow), () => 400)) yield { sweeps };
    }, logger),
    WatchSweep: streaming(async function* (request: WatchRequest, client) {
      yield* watchSweep(book, request, AbortSignal.any([client, over]));
      if (over.aborted) throw new CallError(status.UNAVAILABLE, "this coordinator keeps the sweeps no more");
    }, logger),
    CancelJobs: unary(async ({ sweep, jobs }: CancelRequest) => {
      const moved = await inTime(book.cancel(sweep, some(jobs)));
      logger.info({ sweep, jobs: moved }, "jobs were cancelled");
      return { jobs: moved };
    }, logger),
    RetryJobs: unary(async ({ sweep, jobs, fresh }: RetryRequest) => {
      host.removal.requireStays(sweep);
      const moved = await inTime(book.retry(sweep, { ...some(jobs), fresh }));
      logger.info({ sweep, jobs: moved, fresh }, "jobs are retried");
      return { jobs: moved };
    }, logger),
    RemoveSweep: unary(async ({ sweep, keepResults }: RemoveRequest) => {
      const { length } = requireSweep(book.state, sweep).jobs;
      const results = await inTime(host.removal.remove(sweep, { keepResults }));
      logger.info({ sweep, jobs: length, keepResults }, "a sweep was removed");
      return { jobs: length, results };
    }, logger),
    SweepResults: streaming(async function* ({ sweep }: SweepNameMessage) {
      const results = jobResults(requireSweep(book.state, sweep));
      for (const some of portions(results, ({ job, reportJson }) => rowBytes(job) + 3 * reportJson.length))
        yield { results: some };
    }, logger),
    ExplainJob: unary(async (id: JobNameMessage) => host.explain(id), logger),
    Backup: streaming(() => host.backup(), logger),
  };
}

const some = (jobs: readonly string[]) => (jobs.length === 0 ? {} : { jobs });

/** The same calls, all of which fail, for a coordinator that keeps no sweeps. */
export const noSweepCalls = (reason: string): UntypedServiceImplementation =>
  failing(
    [
      "FindUploads",
      "Upload",
      "SubmitSweep",
      "ListSweeps",
      "WatchSweep",
      "CancelJobs",
      "RetryJobs",
      "RemoveSweep",
      "SweepResults",
      "ExplainJob",
      "Backup",
    ],
    () => new CallError(status.FAILED_PRECONDITION, reason),
  );
