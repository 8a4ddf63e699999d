import type { Digest, OperationKind } from "../../proto/operations.ts";
import type { LeaseEnd } from "./events.ts";

/** A lease as it is told of. */
export interface ToldLease {
  readonly scope: string;
  readonly workerId: string;
  readonly kind: OperationKind;
  readonly fingerprint: Digest;
}

/** A lease that ended without a result: its operation was given out again, or will be. */
export interface Reissue extends ToldLease {
  readonly end: LeaseEnd;
  /** Why, for people. */
  readonly why: string;
  /** By the dispatcher's clock. */
  readonly atMs: number;
}

/** Ends after which an operation goes to somebody else, as people hear of them. */
const WHY: { readonly [End in LeaseEnd]?: (workerId: string) => string } = {
  lost: (worker) => `${worker} was lost`,
  expired: (worker) => `${worker} was not heard of, or did not come forward, for too long`,
  returned: (worker) => `${worker} gave it back`,
  failed: (worker) => `${worker} gave no result that can be used`,
  "child-died": (worker) => `the inference process of ${worker} died`,
  expelled: (worker) => `${worker} gave a wrong result and was expelled`,
  overtaken: (worker) => `another worker was faster than ${worker}`,
  moved: (worker) => `it waited on ${worker} behind another operation`,
};

/** Those of a scope that are remembered. */
const MOST = 20;

/** What was taken from workers and why, the latest of each scope. */
export class Reissues {
  readonly #live = new Map<number, ToldLease>();
  readonly #byScope = new Map<string, Reissue[]>();

  granted(leaseId: number, lease: ToldLease): void {
    this.#live.set(leaseId, lease);
  }

  /** Answers what there is to tell, if anything. */
  ended(leaseId: number, end: LeaseEnd, atMs: number): Reissue | undefined {
    const lease = this.#live.get(leaseId);
    this.#live.delete(leaseId);
    const why = WHY[end];
    if (lease === undefined || why === undefined) return undefined;
    const reissue = { ...lease, end, why: why(lease.workerId), atMs };
    const known = this.#byScope.get(lease.scope) ?? [];
    this.#byScope.set(lease.scope, [...known, reissue].slice(-MOST));
    return reissue;
  }

  /** Oldest first. */
  of(scope: string): readonly Reissue[] {
    return this.#byScope.get(scope) ?? [];
  }

  forget(scope: string): void {
    this.#byScope.delete(scope);
  }
}
