import type { OperationKind, OperationResult } from "../../proto/operations.ts";
import type { CheckOutcome, LeaseEnd } from "./events.ts";

/** How a result came. */
export const RESULT_PATHS = ["stream", "nats"] as const;
export type ResultPath = (typeof RESULT_PATHS)[number];

/**
 * What an arriving result was. `unneeded`: nobody waits for it any more; `kept`: nobody has asked for it yet; `expelled`: its sender was; `forged`: it names another
 * worker than the one that sent it.
 */
export const RESULT_FATES = [
  "used",
  "unneeded",
  "kept",
  "expelled",
  "invalid",
  "error",
  "malformed",
  "forged",
] as const;
export type ResultFate = (typeof RESULT_FATES)[number];

/** What a lease is for. */
export const LEASE_PURPOSES = ["first", "second", "check"] as const;
export type LeasePurpose = (typeof LEASE_PURPOSES)[number];

/** Told what happens, for metrics; it must not throw. */
export interface DispatchObserver {
  operationEnded(
    kind: OperationKind,
    outcome: "done" | "failed" | "withdrawn",
    result?: OperationResult,
  ): void;
  /** `second`: of an operation that another worker is slow at. */
  leaseGranted(purpose: LeasePurpose): void;
  leaseEnded(end: LeaseEnd): void;
  resultArrived(path: ResultPath, fate: ResultFate): void;
  checkEnded(outcome: CheckOutcome): void;
  workerExpelled(): void;
  /** What became of kept results: asked for and used, asked for and wrong, or forgotten. */
  keptResults(outcome: "reused" | "invalid" | "forgotten", results: number): void;
  /** Seconds from the moment the broker had the result to the moment it was used. */
  resultLag(seconds: number): void;
  /** Bytes of artifacts that went to workers, or came from them, over gRPC; what they took from a shared folder is none. */
  artifactMoved(direction: "sent" | "received", bytes: number): void;
  /** A worker failed again and gets no lease for a while. */
  workerBackedOff(): void;
  natsReconnected(): void;
}
