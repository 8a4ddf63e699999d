import type { Logger } from "pino";
import { Certificates } from "../proto/tls/certificates.ts";
import { type FinalState, isFinal, type WorkerState } from "./life.ts";
import { createLogger } from "./logging.ts";
import { type HealthServer, startHealthServer } from "./metrics/http.ts";
import { collectProcessMetrics, watchCertificates } from "./metrics/process-metrics.ts";
import { type CompiledWorkerOptions, compileWorkerOptions, type WorkerOptions } from "./options.ts";
import { startSupervisor } from "./supervisor/start-supervisor.ts";
import type { Supervisor } from "./supervisor/supervisor.ts";

export interface RunningWorker {
  readonly id: string;
  readonly state: WorkerState;
  /** Process id of the inference child, where there is one at the moment. */
  readonly childPid: number | undefined;
  /** `host:port` of `/metrics`, where asked for. */
  readonly metricsAddress: string | undefined;
  /** Finishes or gives back what the worker holds and stops it, within its drain time. */
  drain(reason: string): void;
  /** Resolves when it has ended everything that it started. */
  readonly done: Promise<FinalState>;
}

/**
 * Starts a worker: an inference child, and a stream to the first coordinator that answers, dialled for ever.
 *
 * @throws WorkerOptionsError for an option that cannot be used, CertificateError for files that cannot be, or the system's error for a port in use.
 */
export async function startWorker(given: WorkerOptions): Promise<RunningWorker> {
  const options = compileWorkerOptions(given);
  const log = createLogger({
    level: options.logLevel,
    format: options.logFormat,
    name: `worker ${options.id}`,
  });
  const protection =
    options.protection === "plain"
      ? "plain"
      : new Certificates(options.protection, {
          log: (message, isProblem) => log[isProblem ? "warn" : "info"](message),
        });
  const supervisor = await startSupervisor(options, log, protection);
  let health: HealthServer | undefined;
  try {
    if (protection !== "plain") watchCertificates(supervisor.metrics.registry, protection);
    health = await startHealth(supervisor, log, options);
  } catch (error) {
    supervisor.drain("the metrics address cannot be had");
    await supervisor.done;
    throw error;
  }
  const done = supervisor.done.then(async (end) => {
    await health?.close();
    if (protection !== "plain") protection.close();
    if (end.kind === "stopped") log.info(`stopped: ${end.reason}`);
    else log.error(end.reason);
    return end;
  });
  return {
    id: options.id,
    get state() {
      return supervisor.state;
    },
    get childPid() {
      return supervisor.childPid;
    },
    metricsAddress: health?.address,
    drain: (reason) => supervisor.drain(reason),
    done,
  };
}

/** The body of `elibad worker`: a worker that drains when `signal` aborts. Resolves at its end. */
export async function runWorker(options: WorkerOptions, signal: AbortSignal): Promise<FinalState> {
  const worker = await startWorker(options);
  const drain = () => worker.drain(signal.reason instanceof Error ? signal.reason.message : "asked to stop");
  if (signal.aborted) drain();
  else signal.addEventListener("abort", drain, { once: true });
  try {
    return await worker.done;
  } finally {
    signal.removeEventListener("abort", drain);
  }
}

/** What a process that ran a worker exits with: 0 after a drain, 1 where it was refused or failed. */
export const exitCodeOfWorker = (end: FinalState): 0 | 1 => (end.kind === "stopped" ? 0 : 1);

async function startHealth(
  supervisor: Supervisor,
  log: Pick<Logger, "error">,
  { metricsHost, metricsPort }: CompiledWorkerOptions,
): Promise<HealthServer | undefined> {
  if (metricsPort === undefined) return undefined;
  collectProcessMetrics(supervisor.metrics.registry);
  return startHealthServer({
    host: metricsHost,
    port: metricsPort,
    registry: supervisor.metrics.registry,
    onError: (error) => log.error({ err: error }, "a probe could not be answered"),
    notReady: () => {
      const { state } = supervisor;
      if (state.kind === "serving") return undefined;
      return isFinal(state) || state.kind === "draining" ? `${state.kind}: ${state.reason}` : state.kind;
    },
  });
}
