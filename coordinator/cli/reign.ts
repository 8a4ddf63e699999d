import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import type { Protection } from "../../proto/client.ts";
import type { ProgramForm } from "../../proto/operations.ts";
import type { CoordinatorServer } from "../api/server.ts";
import { sweepCalls } from "../api/sweep-calls.ts";
import type { Coordinator, CoordinatorNats } from "../coordinator.ts";
import type { ClusterExecutor } from "../dispatch/executor.ts";
import type { DispatchOptions } from "../dispatch/settings.ts";
import { SweepMetrics } from "../http/sweep-metrics.ts";
import { ANSWER_BYTES } from "../search/predict.ts";
import type { RestorableLog } from "../store/log.ts";
import { SweepBook } from "../sweep/book.ts";
import { JobHistory } from "../sweep/history.ts";
import { isActive } from "../sweep/job-state.ts";
import { isOfJob, type SweepRecord } from "../sweep/records.ts";
import { SweepRunner } from "../sweep/runner.ts";
import { findJob, type JobId, jobIdText, requireSweep, type SweepsState } from "../sweep/sweep.ts";
import type { LogLostError } from "../sweep/sweep-log.ts";
import { backupChunks } from "./backup-chunks.ts";
import { messageOf } from "./errors.ts";
import { explainJob } from "./explain.ts";
import { localOptions, openWithSources } from "./local-sources.ts";
import { logDisplay } from "./log-display.ts";
import { openSources } from "./open-sources.ts";
import { serveCommands } from "./serve-commands.ts";
import { startCommandsCoordinator } from "./start-coordinator.ts";
import { parseSweep } from "./sweep-file.ts";
import { requirePaths } from "./sweep-paths.ts";
import { SweepRemoval } from "./sweep-removal.ts";
import { uploadsOf } from "./sweep-sources.ts";
import { openCleanJob } from "./sweep-work.ts";
import { usersAnswers } from "./users-answers.ts";
import { parseYaml } from "./yaml-file.ts";

export interface ReignOptions {
  readonly server: CoordinatorServer;
  readonly protection: Protection;
  /** Artifacts and results lie below it. */
  readonly folder: string;
  readonly artifactFolder: string;
  readonly models: string | undefined;
  readonly coordinatorId: string;
  readonly nats: CoordinatorNats | undefined;
  readonly programVersion: string;
  readonly jobsInFlight: number;
  readonly commandsInFlight: number;
  /** Bytes that uploads, and files of buckets, may take. */
  readonly uploadBytes: number;
  readonly bucketCacheBytes: number;
  readonly dispatch?: DispatchOptions;
  readonly logger: Logger;
}

/** A coordinator that has the sweeps' log, from then until it loses or closes it. */
export interface Reign {
  /** Resolves with the error where the log takes no more. */
  readonly lost: Promise<LogLostError>;
  /** Stops everything where it is; what is committed, another reign goes on with. @param successor who leads now, where somebody took over */
  close(successor?: string): Promise<void>;
}

/** Reads the log, serves workers and users, and works on the jobs that are left. */
export async function beginReign(log: RestorableLog, options: ReignOptions): Promise<Reign> {
  const { logger, jobsInFlight } = options;
  const over = new AbortController();
  let lose: (error: LogLostError) => void = () => {};
  const lost = new Promise<LogLostError>((resolve) => {
    lose = resolve;
  });
  const meter = new SweepMetrics(log.term);
  const book = await SweepBook.open(meter.timed(log), { now: Date.now, onLost: (error) => lose(error) });
  sayWhereJobsGoOn(book.state, log.term, logger);
  book.subscribe((records) => sayWhatHappened(records, logger));
  book.subscribe(meter.observe);
  const history = new JobHistory(book, Date.now);
  const executors = new Map<string, ClusterExecutor>();
  book.subscribe((records, state) => {
    for (const record of records)
      if (record.kind === "job-moved" && !isActive(findJob(state, record)!.state))
        executors.delete(jobIdText(record));
  });
  const viewOf = (id: JobId) => executors.get(jobIdText(id))?.view();
  const commands = serveCommands(logger, options.commandsInFlight);
  const sources = await openSources({ ...options, state: () => book.state });
  meter.watch({
    state: () => book.state,
    isFull: () => book.waiting !== undefined,
    room: () => sources.room(),
    folder: options.folder,
  });
  const removal = await SweepRemoval.open({
    book,
    results: join(options.folder, "results"),
    letGoOf: (sweep) => runner?.letGoOf(sweep) ?? Promise.resolve(),
    onRemoved: () => sources.removeUnneeded(),
  });
  let runner: SweepRunner | undefined;
  let coordinator: Coordinator | undefined;
  try {
    const host = {
      book,
      over: over.signal,
      uploads: sources.uploads,
      async readFile({ name, text, folder }) {
        const yaml = parseYaml(name, text);
        const spec = parseSweep(yaml, folder);
        requirePaths(yaml, spec);
        for (const manifest of uploadsOf(spec)) await sources.uploads.folderOf(manifest);
        return spec;
      },
      removal,
      explain: (id) => explainJob(id, { book, history, limit: jobsInFlight, viewOf, now: Date.now }),
      backup: () => backupChunks(log, options.folder),
    } satisfies Parameters<typeof sweepCalls>[0];
    const { server, protection, artifactFolder, coordinatorId, nats, programVersion } = options;
    coordinator = await startCommandsCoordinator({
      server,
      protection,
      artifactFolder: await ownArtifacts(artifactFolder, log.term),
      models: options.models,
      coordinatorId,
      programVersion,
      ...(nats === undefined ? {} : { nats }),
      ...(options.dispatch === undefined ? {} : { dispatch: options.dispatch }),
      expelled: new Map((book.state.expelled ?? []).map(({ workerId, reason }) => [workerId, reason])),
      onExpelled: (workerId, reason) => {
        // Where the log takes no more, the reign is over.
        runner
          ?.expel(workerId, reason)
          .catch((error: unknown) => logger.error({ err: error }, "a worker could not be expelled"));
      },
      submit: commands.submit,
      sweepCalls: sweepCalls(host, logger),
      sweepMetrics: meter.registry,
      users: usersAnswers({
        book,
        explain: host.explain,
        workers: () => coordinator?.workers() ?? [],
        resultsFolder: join(options.folder, "results"),
      }),
      logger,
    });
    commands.useCoordinator(coordinator);
    const { newExecutor, metrics } = coordinator;
    const openJob = openCleanJob({
      results: join(options.folder, "results"),
      term: log.term,
      newExecutor(job) {
        const { weight, priority } = requireSweep(book.state, job.sweep).spec;
        const { programForm } = job.options as { readonly programForm?: ProgramForm };
        const terms = {
          deviceClass: job.deviceClass,
          forms: programForm === undefined ? [] : [programForm],
          share: { group: job.sweep, weight, priority },
        };
        const name = jobIdText(job);
        const executor = newExecutor(terms, name);
        executors.set(name, executor);
        return executor;
      },
      answerBytes: ANSWER_BYTES / jobsInFlight,
      meter: metrics,
      displayOf: ({ sweep, job }) => logDisplay(logger.child({ sweep, job })),
    });
    const open = openWithSources(openJob, ({ sweep, options: given }, signal) =>
      localOptions(given, sources, { settings: requireSweep(book.state, sweep).spec.s3 ?? {}, signal }),
    );
    runner = new SweepRunner({ book, open, limit: jobsInFlight, reasonOf: messageOf });
  } catch (error) {
    sources.close();
    await commands.close();
    await coordinator?.close();
    throw error;
  }
  const running = { runner, coordinator };
  return {
    lost,
    async close(successor) {
      over.abort();
      sources.close();
      await Promise.all([running.runner.close(), commands.close()]);
      await running.coordinator.close(successor);
    },
  };
}

/**
 * A term's own folder for artifacts, since coordinators of one log may see the same volume, and one that is deposed removes what its jobs held. What earlier
 * terms left goes away: nobody can use it any more.
 */
async function ownArtifacts(root: string, term: number): Promise<string> {
  await mkdir(root, { recursive: true });
  const left = (await readdir(root)).filter((name) => Number(/^term-(\d+)$/.exec(name)?.[1]) < term);
  for (const name of left) await rm(join(root, name), { recursive: true, force: true });
  return join(root, `term-${term}`);
}

function sayWhereJobsGoOn({ sweeps }: SweepsState, term: number, logger: Logger): void {
  const counts = { sweeps: sweeps.length, jobs: sweeps.reduce((sum, { jobs }) => sum + jobs.length, 0) };
  logger.info({ term, ...counts }, "the sweeps' log is read");
  for (const { spec, jobs } of sweeps) {
    for (const { name, state, attempt, searches } of jobs) {
      if (!isActive(state)) continue;
      const job = { sweep: spec.name, job: name, attempt };
      if (state.phase !== "scanning") logger.info(job, `the job goes on with ${state.phase}`);
      else if (searches.length === 0) logger.info(job, "the job goes on before its first committed step");
      for (const { search, steps, result } of state.phase === "scanning" ? searches : []) {
        const step = steps.at(-1)?.step ?? 0;
        const where = result === null ? `after committed step ${step}` : `with its result of ${step} steps`;
        logger.info({ ...job, search, step }, `the job's search ${search} goes on ${where}`);
      }
    }
  }
}

const WARNED: ReadonlySet<string> = new Set(["failed", "taken-back", "doubted"]);

function sayWhatHappened(records: readonly SweepRecord[], logger: Logger): void {
  for (const record of records) {
    if (!isOfJob(record)) continue;
    const { sweep, job } = record;
    switch (record.kind) {
      case "job-moved": {
        const { event } = record;
        const reason = "reason" in event ? { reason: event.reason } : {};
        const level = WARNED.has(event.kind) ? "warn" : "info";
        logger[level]({ sweep, job, ...reason }, `the job was ${event.kind}`);
        break;
      }
      case "step-committed": {
        const { search, step } = record;
        const { best } = step;
        logger.debug({ sweep, job, search, step: step.step, loss: best?.loss }, "a step was committed");
        break;
      }
      case "search-found":
        logger.info({ sweep, job, search: record.result.search }, "a search has its result");
        break;
      case "tile-measured":
        logger.info({ sweep, job, tile: record.tile.tile }, "the tile of the job was measured");
    }
  }
}
