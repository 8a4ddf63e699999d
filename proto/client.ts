import { isIP } from "node:net";
import {
  type ChannelCredentials,
  type ChannelInterface,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  credentials,
  type Metadata,
  type requestCallback,
} from "@grpc/grpc-js";
import { CoordinatorClientConstructor } from "./definition.ts";
import type {
  ArtifactChunk,
  ArtifactName,
  ArtifactPlace,
  ArtifactRange,
  ArtifactStored,
  ArtifactUpload,
  CommandEvent,
  CommandRequest,
  CoordinatorMessage,
  WorkerMessage,
} from "./messages.ts";
import type {
  BackupChunkMessage,
  CancelRequest,
  ExplanationMessage,
  JobNameMessage,
  JobResultsMessage,
  JobsMovedMessage,
  RemoveRequest,
  RetryRequest,
  SweepChangeMessage,
  SweepFileMessage,
  SweepNameMessage,
  SweepRemovedMessage,
  SweepRowsMessage,
  SweepSubmittedMessage,
  WatchRequest,
} from "./sweep-messages.ts";
import type { Certificates } from "./tls/certificates.ts";
import { coordinatorProblem, dialledHost } from "./tls/dialled.ts";
import { isLocal } from "./tls/loopback.ts";
import type {
  UploadHoldingMessage,
  UploadHoldingsMessage,
  UploadPartMessage,
  UploadQueryMessage,
} from "./upload-messages.ts";

/** A call with one answer. */
type Unary<Request, Answer> = (request: Request, callback: requestCallback<Answer>) => ClientUnaryCall;

/** The coordinator as its workers and users call it; `elibad.proto` says what each method does. */
export interface CoordinatorClient {
  work(metadata?: Metadata): ClientDuplexStream<WorkerMessage, CoordinatorMessage>;
  fetchArtifact(range: ArtifactRange): ClientReadableStream<ArtifactChunk>;
  readonly locateArtifact: Unary<ArtifactName, ArtifactPlace>;
  putArtifact(callback: requestCallback<ArtifactStored>): ClientWritableStream<ArtifactUpload>;
  submit(request: CommandRequest): ClientReadableStream<CommandEvent>;
  readonly submitSweep: Unary<SweepFileMessage, SweepSubmittedMessage>;
  readonly findUploads: Unary<UploadQueryMessage, UploadHoldingsMessage>;
  upload(callback: requestCallback<UploadHoldingMessage>): ClientWritableStream<UploadPartMessage>;
  listSweeps(request: object): ClientReadableStream<SweepRowsMessage>;
  watchSweep(request: WatchRequest): ClientReadableStream<SweepChangeMessage>;
  readonly cancelJobs: Unary<CancelRequest, JobsMovedMessage>;
  readonly retryJobs: Unary<RetryRequest, JobsMovedMessage>;
  readonly removeSweep: Unary<RemoveRequest, SweepRemovedMessage>;
  sweepResults(request: SweepNameMessage): ClientReadableStream<JobResultsMessage>;
  readonly explainJob: Unary<JobNameMessage, ExplanationMessage>;
  backup(request: object): ClientReadableStream<BackupChunkMessage>;
  getChannel(): Pick<ChannelInterface, "getConnectivityState" | "watchConnectivityState">;
  /** Waits until the channel is connected; the callback gets an error after the deadline. */
  waitForReady(deadline: Date | number, callback: (error?: Error) => void): void;
  close(): void;
}

/** Finds a peer that hangs or a path that is cut within seconds, also while no message flows. */
const KEEPALIVE_OPTIONS: ClientOptions = {
  "grpc.keepalive_time_ms": 5_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
};

/** How connections are protected: by certificates of both sides, or not at all, which is for addresses of this machine alone. */
export type Protection = Certificates | "plain";

/** Somebody was to be dialled in plain text on another machine. */
export class PlainTextError extends Error {
  override readonly name = "PlainTextError";
  constructor(address: string) {
    super(`${address} is not an address of this machine: it is dialled with certificates only`);
  }
}

/**
 * A client of the coordinator at `address` (`host:port` or `unix:path`). It dials on the first call, and again by itself
 * after a loss; a stream that broke stays broken. With certificates it takes nobody for a coordinator whose certificate is not from the CA, for this host and a coordinator's.
 *
 * @throws PlainTextError
 */
export function connectToCoordinator(
  address: string,
  protection: Protection,
  options: ClientOptions = {},
): CoordinatorClient {
  const client = new CoordinatorClientConstructor(address, channelCredentials(address, protection), {
    ...KEEPALIVE_OPTIONS,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 5_000,
    // Only names may be sent as a server's name. Who answers is checked against the host itself, below.
    ...(isIP(dialledHost(address)) === 0 ? {} : { "grpc.ssl_target_name_override": "coordinator" }),
    ...options,
  });
  return client as unknown as CoordinatorClient;
}

function channelCredentials(address: string, protection: Protection): ChannelCredentials {
  if (protection === "plain") {
    if (!isLocal(address)) throw new PlainTextError(address);
    return credentials.createInsecure();
  }
  return credentials.createFromSecureContext(protection.current.context, {
    checkServerIdentity: (_, certificate) => coordinatorProblem(dialledHost(address), certificate),
  });
}
