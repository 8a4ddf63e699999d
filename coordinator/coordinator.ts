import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type {
  ServerDuplexStream,
  ServerReadableStream,
  ServerWritableStream,
  sendUnaryData,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { type Logger, pino } from "pino";
import { Registry } from "prom-client";
import type {
  ArtifactChunk,
  ArtifactName,
  ArtifactRange,
  ArtifactStored,
  ArtifactUpload,
  CommandEvent,
  CommandRequest,
  CoordinatorMessage,
  Welcome,
  WorkerMessage,
} from "../proto/messages.ts";
import type { NatsServers } from "../proto/nats-connection.ts";
import type { Digest } from "../proto/operations.ts";
import { resultSubject, SUBJECT_TOKEN } from "../proto/subjects.ts";
import { readManifest } from "../worker/cache/manifest.ts";
import { unary } from "./api/calls.ts";
import { CoordinatorServer, type Role, type ServerOptions } from "./api/server.ts";
import { noSweepCalls } from "./api/sweep-calls.ts";
import { fetchArtifact, putArtifact } from "./dispatch/artifact-service.ts";
import { ArtifactStore } from "./dispatch/artifact-store.ts";
import { Dispatcher } from "./dispatch/dispatcher.ts";
import { ClusterExecutor } from "./dispatch/executor.ts";
import { type DispatchOptions, DispatchSettings } from "./dispatch/settings.ts";
import type { ScopeTerms } from "./dispatch/state.ts";
import { type SubmitHandler, serveSubmit } from "./dispatch/submit-service.ts";
import { readCluster, type ShareView, shareViews, type WorkerView, workerViews } from "./dispatch/views.ts";
import { waitingReason } from "./dispatch/waiting-reason.ts";
import { serveWork } from "./dispatch/work-session.ts";
import { workerIdOf } from "./dispatch/worker-id.ts";
import { ResultIntake } from "./gather/intake.ts";
import { NatsResults } from "./gather/nats-results.ts";
import { CoordinatorMetrics } from "./http/coordinator-metrics.ts";
import type { UsersApi } from "./http/users-api.ts";
import type { SigningKey } from "./nats/signing-key.ts";
import { WorkerCredentials } from "./nats/worker-credentials.ts";

/** NATS servers as a coordinator uses them. */
export interface CoordinatorNats extends NatsServers {
  /** Signs the credentials of workers; absent: the servers ask nobody who they are. */
  readonly signingKey?: (() => SigningKey) | undefined;
  /** For how long such a credential is good; an hour where absent. */
  readonly credentialMs?: number;
}

export interface CoordinatorOptions extends ServerOptions {
  /** Answers for this coordinator from now on, and stays open when it closes; absent: one of its own. */
  readonly server?: CoordinatorServer;
  /** Where artifacts are kept; the caller removes it. */
  readonly artifactFolder: string;
  /** A volume of models that workers see, too. */
  readonly models?: string | undefined;
  /** Stays the same over restarts, so that results that wait in NATS are found again; absent: a new one each time. */
  readonly coordinatorId?: string;
  /** Results come through JetStream on these servers instead of the workers' streams. */
  readonly nats?: CoordinatorNats | undefined;
  /** Workers with another one are refused; absent: all workers must have the same. */
  readonly programVersion?: string;
  readonly dispatch?: DispatchOptions;
  /** Workers that gave wrong results before, with the reason: they are refused. */
  readonly expelled?: ReadonlyMap<string, string>;
  /** A worker gave a wrong result and is expelled. Called before those who used its results hear of it. */
  readonly onExpelled?: (workerId: string, reason: string) => void;
  /** Absent: the Submit call answers UNIMPLEMENTED. */
  readonly submit?: SubmitHandler;
  /** Answers the calls about sweeps; absent: they fail with FAILED_PRECONDITION. */
  readonly sweepCalls?: UntypedServiceImplementation;
  /** Answers users over HTTP, where sweeps are kept. */
  readonly users?: UsersApi;
  /** Served beside the coordinator's own metrics. */
  readonly sweepMetrics?: Registry;
  /** How long `close` waits for workers to say Goodbye. */
  readonly drainMs?: number;
  readonly logger?: Logger;
}

export interface Coordinator {
  /** What workers dial. */
  readonly address: string;
  /** Where `/metrics`, `/healthz` and `/readyz` are. */
  readonly metricsAddress: string | undefined;
  /** For callers that run one thing only; see `newExecutor`. */
  readonly executor: ClusterExecutor;
  readonly metrics: CoordinatorMetrics;
  /** An executor of its own for each search, command or job: it stays with one device class, that of its terms where they name one. `name` is for the log. */
  newExecutor(terms?: ScopeTerms, name?: string): ClusterExecutor;
  /** Takes bytes and files for operations; the same for all executors. */
  readonly artifacts: ArtifactStore;
  workers(): WorkerView[];
  /** What sweeps and commands were served. */
  shares(): ShareView[];
  /** Why operations wait although no worker is busy with them, in one line; undefined where none does. */
  waitingReason(): string | undefined;
  /** @param successor where workers are to go at once, as another one leads; empty: whom nobody knows yet. Absent: they finish what they do */
  close(successor?: string): Promise<void>;
}

/**
 * Starts a coordinator: the gRPC service, the artifact store, results from NATS where a server is named, and metrics.
 * @throws ListenError, NatsResultsError; nothing is left running then.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const logger = options.logger ?? pino({ level: "silent" });
  const coordinatorId = options.coordinatorId ?? `c-${randomUUID()}`;
  if (!SUBJECT_TOKEN.test(coordinatorId)) {
    throw new RangeError(`coordinator id '${coordinatorId}': 1 to 64 letters, digits, _ or -`);
  }
  const settings = DispatchSettings.parse(options.dispatch ?? {});
  const closers: (() => void | Promise<void>)[] = [];
  let successor: string | undefined;
  const close = async (to?: string) => {
    successor = to;
    for (let closer = closers.pop(); closer; closer = closers.pop()) await closer();
  };
  try {
    const store = await ArtifactStore.open(options.artifactFolder, {
      ...(options.models === undefined ? {} : { models: options.models }),
      log: (message) => logger.info(message),
    });
    closers.push(() => store.close());
    const metrics: CoordinatorMetrics = new CoordinatorMetrics(
      readCluster(
        () => dispatcher.state,
        () => dispatcher.nowMs,
      ),
    );
    const dispatcher = new Dispatcher({
      settings,
      observer: metrics,
      logger,
      recall: (fingerprint, operation) => intake.recall(fingerprint, operation),
      hold: (artifact, scope) => store.hold(artifact, scope),
      release: (artifact, scope) =>
        void store
          .release(artifact, scope)
          .catch((error: unknown) =>
            logger.warn({ err: error, artifact }, "an artifact could not be removed"),
          ),
      ...(options.expelled === undefined ? {} : { expelled: options.expelled }),
      onExpelled: (workerId, reason) => {
        intake.forgetAllOf(workerId);
        options.onExpelled?.(workerId, reason);
      },
      ...(options.programVersion === undefined ? {} : { programVersion: options.programVersion }),
    });
    const intake: ResultIntake = new ResultIntake({ dispatcher, store, observer: metrics, logger });
    const { nats: servers } = options;
    const nats =
      servers === undefined
        ? undefined
        : await NatsResults.open({
            ...servers,
            coordinatorId,
            isDurable: options.coordinatorId !== undefined,
            receive: (bytes, workerId) => intake.receive(bytes, { workerId, path: "nats" }),
            onLag: (seconds) => metrics.resultLag(seconds),
            onReconnect: () => metrics.natsReconnected(),
            onRefused: ({ reason }) => metrics.natsRefused(reason),
            logger,
          });
    if (nats) {
      metrics.watchNats(() => nats.isConnected);
      closers.push(() => nats.close());
    }
    const { signingKey: key, credentialMs: lifetimeMs } = servers ?? {};
    const credentials = key && new WorkerCredentials({ key, lifetimeMs, logger });

    const areProven = options.protection !== "plain" || credentials !== undefined;
    const welcome = (workerId: string): Welcome => ({
      workerId,
      natsUrl: servers?.url ?? "",
      resultSubject: servers === undefined ? "" : resultSubject(coordinatorId, workerId),
      natsCredentialFollows: credentials !== undefined,
      heartbeatMs: settings.heartbeatMs,
      artifactFolder: store.folder,
      artifactNonce: store.nonce,
    });
    const calls = {
      Work: (call: ServerDuplexStream<WorkerMessage, CoordinatorMessage>) =>
        serveWork(call, {
          dispatcher,
          idOf: (hello) => workerIdOf(hello, areProven),
          welcome,
          ...(credentials && { welcomed: (hello, send) => credentials.keep(hello, send) }),
          logger,
          receive: (bytes, workerId) => {
            const reading = intake.receive(bytes, { workerId, path: "stream" });
            reading?.catch((error: unknown) => logger.error({ err: error }, "a result could not be read"));
          },
        }),
      FetchArtifact: (call: ServerWritableStream<ArtifactRange, ArtifactChunk>) =>
        void fetchArtifact(call, store, metrics),
      LocateArtifact: unary(
        async ({ digest }: ArtifactName) => ({ path: store.placeOnModels(digest) ?? "" }),
        logger,
      ),
      PutArtifact: (
        call: ServerReadableStream<ArtifactUpload, ArtifactStored>,
        callback: sendUnaryData<ArtifactStored>,
      ) => void putArtifact(call, callback, store, metrics),
      Submit: (call: ServerWritableStream<CommandRequest, CommandEvent>) =>
        void serveSubmit(call, options.submit),
      ...(options.sweepCalls ?? noSweepCalls("this coordinator keeps no sweeps: start it with --state DIR")),
    };
    const role: Role = {
      name: "leader",
      calls,
      users: options.users ?? { leader: "" },
      registry: options.sweepMetrics
        ? Registry.merge([metrics.registry, options.sweepMetrics])
        : metrics.registry,
      notReady: () => (nats && !nats.isConnected ? "no connection to NATS" : undefined),
    };
    const server = options.server ?? (await CoordinatorServer.open(options, role));
    const { address } = server;
    if (options.server) server.become(role);
    else closers.push(() => server.close());
    closers.push(async () => {
      dispatcher.close(successor);
      await untilTrue(() => dispatcher.state.workers.size === 0, options.drainMs ?? 2_000);
    });
    logger.info({ address, natsUrl: servers?.url, artifactFolder: store.folder }, "coordinator listens");

    let executors = 0;
    const newExecutor = (terms: ScopeTerms = {}, name = "scope") =>
      new ClusterExecutor(dispatcher, store, `${name}#${++executors}`, {
        ...terms,
        checkpointBytes: (digest) => checkpointBytes(store, digest),
      });
    return {
      address,
      metricsAddress: server.metricsAddress,
      executor: newExecutor(),
      metrics,
      newExecutor,
      artifacts: store,
      workers: () => workerViews(dispatcher.state, dispatcher.nowMs),
      shares: () => shareViews(dispatcher.state),
      waitingReason: () => waitingReason(dispatcher.state, dispatcher.nowMs),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Bytes of a checkpoint's files; undefined where the store has no such manifest. */
async function checkpointBytes(store: ArtifactStore, digest: Digest): Promise<number | undefined> {
  const known = await store.find(digest);
  const manifest = known && (await readManifest(known.path, digest).catch(() => undefined));
  return manifest?.files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Waits for a condition that other events bring about, but not longer than `limitMs`. */
async function untilTrue(condition: () => boolean, limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition() && performance.now() < deadline) await pause(10);
}
