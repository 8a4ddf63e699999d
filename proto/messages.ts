/**
 * The messages of `elibad.proto` as TypeScript sees them (what each one means stands there). A `oneof` is a tagged
 * union: the tag names the field that is set. 64-bit numbers are plain numbers: ids, bytes and counts stay below 2⁵³.
 */
import type { AdamWSettings, Digest } from "./operations.ts";
import type { TensorMessage } from "./tensors.ts";

export interface DeviceClass {
  readonly provider: string;
  readonly runtimeVersion: string;
  readonly hardware: string;
  readonly programForm: string;
}

export interface Hello {
  readonly workerId: string;
  readonly programVersion: string;
  /** Null where the peer left it out. */
  readonly deviceClass: DeviceClass | null;
  readonly memoryBytes: number;
  readonly cachedCheckpoints: readonly Digest[];
  readonly threads: number;
  readonly operatorsElsewhere: readonly string[];
  /** Empty: the primitive one. */
  readonly programForms: readonly string[];
  /** Of its process; empty where it does not say. */
  readonly incarnation: string;
  /** Empty where the peer left it out. */
  readonly natsUserKey: string;
}

export interface Heartbeat {
  readonly leaseIds: readonly number[];
  /** 0 for none. */
  readonly runningLeaseId: number;
  readonly childRssBytes: number;
  readonly partsDone: number;
}

export type WorkerMessage =
  | { readonly message: "hello"; readonly hello: Hello }
  | { readonly message: "credit"; readonly credit: { readonly leases: number } }
  | {
      readonly message: "resultEnvelopes";
      readonly resultEnvelopes: { readonly envelopes: readonly Uint8Array[] };
    }
  | { readonly message: "heartbeat"; readonly heartbeat: Heartbeat }
  | { readonly message: "draining"; readonly draining: { readonly returnedLeaseIds: readonly number[] } }
  | { readonly message: "goodbye"; readonly goodbye: { readonly reason: string } }
  | {
      readonly message: "childDied";
      readonly childDied: { readonly leaseId: number; readonly reason: string };
    };

export interface Welcome {
  readonly natsUrl: string;
  readonly resultSubject: string;
  readonly heartbeatMs: number;
  readonly artifactFolder: string;
  readonly artifactNonce: string;
  readonly workerId: string;
  readonly natsCredentialFollows: boolean;
}

export interface LeaseMessage {
  readonly leaseId: number;
  readonly fingerprint: Digest;
  readonly operation: OperationMessage;
  readonly leaseMs: number;
}

export interface CancelMessage {
  readonly leaseId: number;
  readonly reason: string;
  readonly letRun: boolean;
}

export type CoordinatorMessage =
  | { readonly message: "welcome"; readonly welcome: Welcome }
  | { readonly message: "leases"; readonly leases: { readonly leases: readonly LeaseMessage[] } }
  | { readonly message: "accepted"; readonly accepted: { readonly fingerprints: readonly Digest[] } }
  | { readonly message: "cancel"; readonly cancel: CancelMessage }
  | { readonly message: "drain"; readonly drain: { readonly reason: string } }
  | { readonly message: "refused"; readonly refused: { readonly reason: string } }
  | { readonly message: "notLeader"; readonly notLeader: { readonly address: string } }
  | { readonly message: "natsCredential"; readonly natsCredential: { readonly jwt: string } };

export interface TriggersMessage {
  readonly count: number;
  readonly ids: readonly number[];
}

interface ScoreMessage {
  readonly samples: Digest;
  readonly sample: number;
  /** Null where the peer left it out. */
  readonly triggers: TriggersMessage | null;
  readonly half: boolean;
  readonly fused: boolean;
}

interface GradientMessage extends RowsMessage {
  readonly trigger: readonly number[];
  readonly label: number;
  readonly slopes: Uint8Array;
  readonly encoderOnly: boolean;
}

interface RankMessage {
  readonly vocabulary: Digest;
  readonly gradient: Uint8Array;
  readonly triggerLen: number;
  readonly topk: number;
}

interface RowsMessage {
  readonly samples: Digest;
  readonly rows: readonly number[];
}

interface EncodeMessage extends RowsMessage {
  readonly weights: Digest;
  /** Null where the peer left it out. */
  readonly triggers: TriggersMessage | null;
  readonly fused: boolean;
}

interface ScorePairsMessage {
  readonly codes: Digest;
  readonly queries: Digest;
  readonly rows: readonly number[];
  readonly pairs: readonly number[];
}

interface TrainStepMessage extends RowsMessage {
  readonly weights: Digest;
  readonly rowWeights: readonly number[];
  readonly labels: readonly number[];
  readonly logits: readonly number[];
  readonly slopes: readonly number[];
  readonly dropout: number;
  readonly dropoutSeed: number;
}

export interface MicroBatchMessage {
  readonly rows: readonly number[];
  readonly rowWeights: readonly number[];
  readonly labels: readonly number[];
  readonly logits: readonly number[];
  readonly dropoutSeed: number;
  readonly places: readonly number[];
}

export interface VectorLossMessage {
  /** `VectorLoss.Kind`: 0 contrastive, 1 distance. */
  readonly kind: number;
  readonly targets: readonly number[];
  readonly weights: readonly number[];
}

export interface SegmentStepMessage {
  readonly learningRate: number;
  readonly microBatches: readonly MicroBatchMessage[];
  /** Null where there is none. */
  readonly vectors: VectorLossMessage | null;
}

export interface TrainRunMessage {
  readonly samples: Digest;
  /** Null where the peer left it out, as `optimiser`. */
  readonly state: {
    readonly weights: Digest;
    readonly means: Digest;
    readonly squares: Digest;
    readonly steps: number;
  } | null;
  readonly optimiser: AdamWSettings | null;
  readonly maxGradNorm: number;
  readonly dropout: number;
  readonly steps: readonly SegmentStepMessage[];
}

export type OperationMessage = { readonly checkpoint: Digest } & (
  | { readonly kind: "score"; readonly score: ScoreMessage }
  | { readonly kind: "gradient"; readonly gradient: GradientMessage }
  | { readonly kind: "rank"; readonly rank: RankMessage }
  | { readonly kind: "encode"; readonly encode: EncodeMessage }
  | { readonly kind: "scorePairs"; readonly scorePairs: ScorePairsMessage }
  | { readonly kind: "predict"; readonly predict: RowsMessage & { readonly weights: Digest } }
  | { readonly kind: "trainStep"; readonly trainStep: TrainStepMessage }
  | { readonly kind: "trainRun"; readonly trainRun: TrainRunMessage }
);

export type ResultEnvelopeMessage = {
  readonly fingerprint: Digest;
  readonly workerId: string;
  readonly deviceClass: DeviceClass | null;
  readonly forwards: number;
  readonly tokens: number;
  readonly seconds: number;
  readonly programVersion: string;
  readonly artifacts: readonly { readonly name: string; readonly digest: Digest }[];
} & (
  | { readonly outcome: "tensors"; readonly tensors: { readonly tensors: readonly TensorMessage[] } }
  | { readonly outcome: "tensorsArtifact"; readonly tensorsArtifact: Digest }
  | {
      readonly outcome: "error";
      readonly error: { readonly retryable: boolean; readonly message: string };
    }
);

export interface ArtifactRange {
  readonly digest: Digest;
  readonly offset: number;
  readonly length: number;
}

export interface ArtifactName {
  readonly digest: string;
}

export interface ArtifactPlace {
  /** Empty where it does not lie on the volume of models. */
  readonly path: string;
}

export interface ArtifactChunk {
  readonly data: Uint8Array;
  readonly totalBytes: number;
}

export interface ArtifactUpload {
  /** Empty in every message but the first. */
  readonly digest: Digest;
  readonly data: Uint8Array;
  /** Empty where data follows. */
  readonly placed: string;
}

export interface ArtifactStored {
  readonly digest: Digest;
}

export interface CommandRequest {
  readonly command: string;
  readonly optionsJson: string;
}

export type CommandEvent =
  | { readonly event: "progressJson"; readonly progressJson: string }
  | { readonly event: "line"; readonly line: string }
  | { readonly event: "resultJson"; readonly resultJson: string }
  | { readonly event: "failed"; readonly failed: { readonly exitCode: number; readonly message: string } };
