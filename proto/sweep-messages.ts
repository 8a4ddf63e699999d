/** The messages of `elibad.proto` that are about sweeps, as TypeScript sees them; what each one means stands there. */
import type { Task } from "./operations.ts";

export interface SweepFileMessage {
  readonly name: string;
  readonly text: string;
  readonly folder: string;
}

export interface SweepSubmittedMessage {
  readonly sweep: SweepRowMessage;
  readonly isNew: boolean;
}

export interface SweepRowsMessage {
  readonly sweeps: readonly SweepRowMessage[];
}

/** Fields of `PhaseCounts`, in the order of a job's life. */
export const PHASES = [
  "queued",
  "scanning",
  "unlearning",
  "evaluating",
  "done",
  "failed",
  "cancelled",
] as const;
export type Phase = (typeof PHASES)[number];

export interface SweepRowMessage {
  readonly name: string;
  readonly task: Task;
  readonly submittedAt: number;
  readonly jobs: number;
  readonly phases: { readonly [P in Phase]: number };
  readonly priority: number;
  readonly weight: number;
  readonly maxParallel: number;
}

export interface WatchRequest {
  readonly sweep: string;
  readonly once: boolean;
}

export interface SweepChangeMessage {
  readonly sweep: SweepRowMessage;
  readonly jobs: readonly JobRowMessage[];
  readonly isCurrent: boolean;
}

export interface JobRowMessage {
  readonly name: string;
  readonly model: string;
  readonly phase: Phase;
  readonly attempt: number;
  readonly movedAt: number;
  /** Empty where it did not fail. */
  readonly reason: string;
  readonly steps: number;
  readonly searchesDone: number;
  /** Null before the first. */
  readonly best: { readonly ids: readonly number[]; readonly loss: number } | null;
}

export interface SweepNameMessage {
  readonly sweep: string;
}

export interface JobNameMessage {
  readonly sweep: string;
  readonly job: string;
}

export interface CancelRequest {
  readonly sweep: string;
  readonly jobs: readonly string[];
}

export interface RetryRequest extends CancelRequest {
  readonly fresh: boolean;
}

export interface JobsMovedMessage {
  readonly jobs: number;
}

export interface RemoveRequest {
  readonly sweep: string;
  readonly keepResults: boolean;
}

export interface SweepRemovedMessage {
  readonly jobs: number;
  /** Where results are that were kept; empty where they are gone. */
  readonly results: string;
}

export interface JobResultsMessage {
  readonly results: readonly JobResultMessage[];
}

export interface JobResultMessage {
  readonly job: JobRowMessage;
  /** Empty where the job is not done. */
  readonly reportJson: string;
}

export interface ExplanationMessage {
  readonly job: JobRowMessage;
  readonly reasons: readonly string[];
  readonly history: readonly { readonly at: number; readonly text: string }[];
  readonly deviceClass: string;
  readonly waitingOperations: number;
  readonly leases: readonly LeaseRowMessage[];
  readonly workers: readonly WorkerRowMessage[];
}

export interface LeaseRowMessage {
  readonly workerId: string;
  readonly kind: string;
  readonly fingerprint: string;
  readonly ageMs: number;
  readonly isRunning: boolean;
  readonly reissued: readonly string[];
}

export interface WorkerRowMessage {
  readonly workerId: string;
  readonly deviceClass: string;
  readonly state: string;
  readonly leases: number;
  readonly unfitBecause: string;
  readonly slowness: number;
  readonly tokensPerSecond: number;
}

export interface BackupChunkMessage {
  readonly data: Uint8Array;
}
