import { join } from "node:path";
import type { Logger } from "pino";
import type { Protection } from "../../proto/client.ts";
import { programVersion } from "../../worker/program-version.ts";
import { CoordinatorServer } from "../api/server.ts";
import { standbyRole } from "../api/standby.ts";
import type { CoordinatorNats } from "../coordinator.ts";
import type { DispatchOptions } from "../dispatch/settings.ts";
import { FencedError } from "../store/errors.ts";
import type { RestorableLog } from "../store/log.ts";
import { onAbort } from "./command.ts";
import { openHttp } from "./http-options.ts";
import { TermFile } from "./known-term.ts";
import { beginReign } from "./reign.ts";
import { refuseToStart } from "./start-coordinator.ts";
import { coordinatorIdOf, openLog, type StatePlace } from "./state-options.ts";

export interface RunOptions {
  readonly listen: string;
  readonly protection: Protection;
  /** Where workers and users dial this coordinator; absent: where it listens. */
  readonly advertise: string | undefined;
  readonly artifacts: string | undefined;
  readonly models: string | undefined;
  readonly nats: CoordinatorNats | undefined;
  readonly metricsPort: number | undefined;
  readonly metricsHost: string;
  /** `host:port` for users; absent: none. */
  readonly http?: string | undefined;
  /** Their tokens; absent: certificates alone. */
  readonly httpTokens?: string | undefined;
  readonly jobsInFlight: number;
  readonly commandsInFlight: number;
  /** Of 10⁹ bytes. */
  readonly uploadGb: number;
  readonly bucketCacheGb: number;
  readonly dispatch: DispatchOptions;
}

/**
 * A coordinator with sweeps, until the signal. One that loses its term stops at once and stands by again: it holds nothing that the log does not. Where its log is
 * broken otherwise, or gone, it ends with that error, for whoever restarts it.
 */
export async function runCoordinator(
  place: StatePlace,
  options: RunOptions,
  { logger, signal }: { readonly logger: Logger; readonly signal: AbortSignal },
): Promise<void> {
  // A second coordinator on a file is told who has it, rather than that its address is in use.
  let log = place.kind === "embedded" ? await openLog(place, { address: "" }) : undefined;
  let leader = "";
  const standby = standbyRole(() => leader);
  let server: CoordinatorServer | undefined;
  try {
    server = await openServer(options, standby, logger);
    const address = options.advertise ?? server.address;
    const stopped = new Promise<"stopped">((resolve) => onAbort(signal, () => resolve("stopped")));
    while (!signal.aborted) {
      if (log === undefined) {
        logger.info({ address }, "standing by");
        log = await openLog(place, {
          address,
          signal,
          onLeader: (found) => {
            leader = found;
            logger.info({ leader }, "another coordinator leads");
          },
          log: (message) => logger.warn(message),
        });
      }
      const end = await reign(log, { place, options, server, logger, stopped });
      server.become(standby);
      leader = "";
      if (end === "stopped") break;
      log = undefined;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await log?.close();
    await server?.close();
  }
}

async function reign(
  log: RestorableLog,
  parts: {
    readonly place: StatePlace;
    readonly options: RunOptions;
    readonly server: CoordinatorServer;
    readonly logger: Logger;
    readonly stopped: Promise<"stopped">;
  },
): Promise<"stopped" | "deposed"> {
  const { place, options, server, logger, stopped } = parts;
  new TermFile(place).begin(log.term);
  const running = await beginReign(log, {
    server,
    protection: options.protection,
    folder: place.folder,
    artifactFolder: options.artifacts ?? join(place.folder, "artifacts"),
    coordinatorId: coordinatorIdOf(place),
    models: options.models,
    nats: options.nats,
    programVersion: programVersion(),
    jobsInFlight: options.jobsInFlight,
    commandsInFlight: options.commandsInFlight,
    uploadBytes: options.uploadGb * 1e9,
    bucketCacheBytes: options.bucketCacheGb * 1e9,
    dispatch: options.dispatch,
    logger,
  });
  const { address, httpAddress: http } = server;
  logger.info({ term: log.term, address, ...(http && { http }) }, "leading");
  const end = await Promise.race([
    stopped,
    log.lost.then(() => "deposed" as const),
    running.lost.then((error) => (error.cause instanceof FencedError ? ("deposed" as const) : error)),
  ]);
  if (end === "deposed") {
    logger.warn({ term: log.term }, "another coordinator took the lead");
    await running.close("");
    await log.close();
    return end;
  }
  await running.close();
  if (end === "stopped") return end;
  throw end;
}

async function openServer(
  options: RunOptions,
  role: ReturnType<typeof standbyRole>,
  logger: Logger,
): Promise<CoordinatorServer> {
  const { metricsPort, metricsHost, http, httpTokens, ...listening } = options;
  try {
    return await CoordinatorServer.open(
      {
        ...listening,
        logger,
        ...(http === undefined ? {} : { http: openHttp(http, httpTokens, logger) }),
        ...(metricsPort === undefined ? {} : { metrics: { host: metricsHost, port: metricsPort } }),
      },
      role,
    );
  } catch (error) {
    throw refuseToStart(error, options);
  }
}
