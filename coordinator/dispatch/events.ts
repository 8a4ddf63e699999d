import type { Digest, OperationKind, ProgramForm } from "../../proto/operations.ts";
import type { OperationKey, ScopeTerms, Session } from "./state.ts";

/** What a result turned out to be, before it is asked who waits for it. */
export type Verdict =
  | { readonly kind: "valid" }
  /** Wrong tensors, lengths or numbers: the operation is done again. */
  | { readonly kind: "invalid"; readonly reason: string }
  /** The worker could not do it. */
  | { readonly kind: "error"; readonly retryable: boolean; readonly message: string };

export type DispatchEvent =
  | {
      readonly kind: "joined";
      readonly session: Session;
      readonly workerId: string;
      /** Of its process: another one, another process; absent: not known. */
      readonly incarnation?: string;
      readonly deviceClass: string;
      /** Forms of programs that it may be given; absent: the primitive one. */
      readonly forms?: readonly string[];
      /** That its inference child may use; absent, or 0: not known. */
      readonly memoryBytes?: number;
      readonly cachedCheckpoints: readonly Digest[];
    }
  | { readonly kind: "credit"; readonly session: Session; readonly leases: number }
  | {
      readonly kind: "heartbeat";
      readonly session: Session;
      readonly leaseIds: readonly number[];
      readonly runningLeaseId: number;
      readonly partsDone?: number;
    }
  | { readonly kind: "draining"; readonly session: Session; readonly returnedLeaseIds: readonly number[] }
  /** The stream ended. `isOrderly`: with a Goodbye, or because this side asked for it; else the worker is lost. */
  | {
      readonly kind: "left";
      readonly session: Session;
      readonly reason: string;
      readonly isOrderly?: boolean;
    }
  | { readonly kind: "writable"; readonly session: Session; readonly writable: boolean }
  | {
      readonly kind: "child-died";
      readonly session: Session;
      readonly leaseId: number;
      readonly reason: string;
    }
  | {
      readonly kind: "result";
      readonly fingerprint: Digest;
      readonly workerId: string;
      readonly deviceClass: string;
      /** A state that its sender has now, and that operations may go on from. */
      readonly state?: Digest;
      /** That its device worked on it, as its sender says. */
      readonly seconds?: number;
      /** That went through its model, as its sender says. */
      readonly tokens?: number;
      /** By check: the number of the first answer to it that this result agrees with, or of a new one. */
      readonly answers?: ReadonlyMap<OperationKey, number>;
      readonly verdict: Verdict;
    }
  /** Bytes that no result could be read from. Which lease they were for is unknown, so all of the worker's are taken back. */
  | { readonly kind: "malformed"; readonly workerId: string; readonly reason: string }
  | {
      readonly kind: "submitted";
      readonly scope: string;
      /** Of the scope, where it is new. */
      readonly terms?: ScopeTerms;
      readonly operations: readonly {
        readonly fingerprint: Digest;
        readonly checkpoint: Digest;
        /** An artifact as large as the model, which is better used where it is than sent elsewhere. */
        readonly state?: Digest;
        /** Absent: `score`. */
        readonly kind?: OperationKind;
        /** Absent: the primitive one. */
        readonly form?: ProgramForm;
        /** That the inference child needs; absent: not known. */
        readonly memoryBytes?: number;
        /** Right results that came before they were asked for. */
        readonly early?: readonly { readonly workerId: string; readonly deviceClass: string }[];
      }[];
    }
  /** Nobody waits for these any more. */
  | { readonly kind: "withdrawn"; readonly keys: readonly OperationKey[]; readonly reason: string }
  /** An artifact is not to be had any more. */
  | { readonly kind: "released"; readonly digest: Digest }
  | { readonly kind: "scope-closed"; readonly scope: string }
  /** Somebody waits for the checks of what the scope was given. */
  | { readonly kind: "awaited"; readonly scope: string }
  /** Time passed. */
  | { readonly kind: "tick" }
  /** The time that a `look-again` named has come. */
  | { readonly kind: "looked-again" }
  /** No more leases are given from here on. */
  | { readonly kind: "drain" };

/** Why a lease ended. */
export const LEASE_ENDS = [
  "result",
  "failed",
  "expired",
  "lost",
  "returned",
  "withdrawn",
  "child-died",
  "overtaken",
  /** Its worker gave a wrong result. */
  "expelled",
  /** It waited behind another one, and an idle worker got the operation. */
  "moved",
] as const;
export type LeaseEnd = (typeof LEASE_ENDS)[number];

/** What became of a check: `impossible` where no other worker is left, `closed` where nobody needs the result any more. */
export const CHECK_OUTCOMES = ["equal", "different", "failed", "impossible", "closed"] as const;
export type CheckOutcome = (typeof CHECK_OUTCOMES)[number];

/** How long a lease takes, beside what an idle worker would take. */
export interface Slowness {
  readonly leaseId: number;
  readonly workerId: string;
  readonly runningMs: number;
  /** What its worker usually takes. */
  readonly usualMs: number;
  /** What the idle worker usually takes. */
  readonly elsewhereMs: number;
  readonly remainingMs: number;
}

export type Decision =
  | {
      readonly kind: "lease";
      readonly session: Session;
      readonly leaseId: number;
      readonly key: OperationKey;
      readonly fingerprint: Digest;
      readonly leaseMs: number;
      /** Another worker has the operation, and is so slow that it is computed here, too. */
      readonly second?: Slowness;
    }
  | { readonly kind: "lease-ended"; readonly leaseId: number; readonly end: LeaseEnd }
  | {
      readonly kind: "cancel";
      readonly session: Session;
      readonly leaseId: number;
      readonly reason: string;
      /** True: an operation that has begun may go on; its result is not needed. */
      readonly letRun: boolean;
    }
  | { readonly kind: "accept"; readonly session: Session; readonly fingerprint: Digest }
  /** The result at hand answers this operation; `early`: which of those that came before it was asked for. */
  | {
      readonly kind: "resolve";
      readonly key: OperationKey;
      readonly early?: number;
      /** The result is computed a second time under this key, to compare the two. */
      readonly check?: OperationKey;
    }
  | { readonly kind: "check-ended"; readonly key: OperationKey; readonly outcome: CheckOutcome }
  /** Two or more workers gave different results, and one more is needed to decide. */
  | { readonly kind: "disagreed"; readonly key: OperationKey; readonly workers: readonly string[] }
  /** Nothing more is taken from a worker, which gave a wrong result. */
  | {
      readonly kind: "expel";
      readonly workerId: string;
      readonly session: Session | undefined;
      readonly reason: string;
    }
  /** What a scope was given may be wrong. */
  | { readonly kind: "distrust"; readonly scope: string; readonly reason: string }
  | { readonly kind: "fail"; readonly key: OperationKey; readonly reason: string }
  /** A worker failed again: it gets no lease for so long. */
  | {
      readonly kind: "back-off";
      readonly workerId: string;
      readonly failures: number;
      readonly delayMs: number;
      readonly reason: string;
    }
  /** Nothing may happen until then that would make anyone look, and there is something to be seen. */
  | { readonly kind: "look-again"; readonly afterMs: number }
  | { readonly kind: "disconnect"; readonly session: Session; readonly reason: string };

export type DecisionOf<K extends Decision["kind"]> = Extract<Decision, { readonly kind: K }>;
export type EventOf<K extends DispatchEvent["kind"]> = Extract<DispatchEvent, { readonly kind: K }>;
