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
export const KEEPALIVE_OPTIONS: ClientOptions = {
  "grpc.keepalive_time_ms": 5_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
};

/**
 * A client of the coordinator at `address` (`host:port` or `unix:path`). It dials on the first call, and again by itself
 * after a loss; a stream that broke stays broken.
 */
export function connectToCoordinator(
  address: string,
  {
    channelCredentials = credentials.createInsecure(),
    options = {},
  }: { readonly channelCredentials?: ChannelCredentials; readonly options?: ClientOptions } = {},
): CoordinatorClient {
  const client = new CoordinatorClientConstructor(address, channelCredentials, {
    ...KEEPALIVE_OPTIONS,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 5_000,
    ...options,
  });
  return client as unknown as CoordinatorClient;
}
