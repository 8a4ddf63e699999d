import { join } from "node:path";
import {
  type GrpcObject,
  loadPackageDefinition,
  type MethodDefinition,
  type ServiceClientConstructor,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import { loadSync, type MessageTypeDefinition, type PackageDefinition } from "@grpc/proto-loader";
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
  ResultEnvelopeMessage,
  WorkerMessage,
} from "./messages.ts";
import { packageRoot } from "./package-root.ts";
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

const definition: PackageDefinition = loadSync(join(packageRoot, "proto", "elibad.proto"), {
  longs: Number,
  defaults: true,
  oneofs: true,
});

const { v1 } = loadPackageDefinition(definition).elibad as { readonly v1: GrpcObject };

/** Untyped; `connectToCoordinator` in `client.ts` is the typed way. */
export const CoordinatorClientConstructor = v1.Coordinator as ServiceClientConstructor;

/** The methods of the Coordinator service, with the types that go over the wire. */
export interface CoordinatorService extends ServiceDefinition {
  readonly Work: MethodDefinition<WorkerMessage, CoordinatorMessage>;
  readonly FetchArtifact: MethodDefinition<ArtifactRange, ArtifactChunk>;
  readonly LocateArtifact: MethodDefinition<ArtifactName, ArtifactPlace>;
  readonly PutArtifact: MethodDefinition<ArtifactUpload, ArtifactStored>;
  readonly Submit: MethodDefinition<CommandRequest, CommandEvent>;
  readonly SubmitSweep: MethodDefinition<SweepFileMessage, SweepSubmittedMessage>;
  readonly FindUploads: MethodDefinition<UploadQueryMessage, UploadHoldingsMessage>;
  readonly Upload: MethodDefinition<UploadPartMessage, UploadHoldingMessage>;
  readonly ListSweeps: MethodDefinition<object, SweepRowsMessage>;
  readonly WatchSweep: MethodDefinition<WatchRequest, SweepChangeMessage>;
  readonly CancelJobs: MethodDefinition<CancelRequest, JobsMovedMessage>;
  readonly RetryJobs: MethodDefinition<RetryRequest, JobsMovedMessage>;
  readonly RemoveSweep: MethodDefinition<RemoveRequest, SweepRemovedMessage>;
  readonly SweepResults: MethodDefinition<SweepNameMessage, JobResultsMessage>;
  readonly ExplainJob: MethodDefinition<JobNameMessage, ExplanationMessage>;
  readonly Backup: MethodDefinition<object, BackupChunkMessage>;
}

/** For `Server.addService`. */
export const coordinatorService = CoordinatorClientConstructor.service as unknown as CoordinatorService;

/** Encoding of the envelope, which also travels outside gRPC. */
export const resultEnvelopeType = definition["elibad.v1.ResultEnvelope"] as MessageTypeDefinition<
  ResultEnvelopeMessage,
  ResultEnvelopeMessage
>;
