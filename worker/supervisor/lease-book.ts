import type { Digest, Operation } from "../../proto/operations.ts";

/**
 * An operation on this worker.
 *
 * `fetching` → `ready` (artifacts are here) → `sent` (with the child; the first one sent is the one that runs).
 */
export interface Assignment {
  /** Names the assignment between supervisor and child. */
  readonly ticket: number;
  readonly fingerprint: Digest;
  readonly operation: Operation;
  /** Undefined once the stream that gave the lease ended: the operation runs on, its result is still worth something. */
  leaseId: number | undefined;
  state: "fetching" | "ready" | "sent";
  /** Ascending in the order in which operations were sent. */
  sentOrder: number;
}

/** What is to be done about a lease that is cancelled or given back. */
export type Withdrawal =
  /** Nothing else to do. */
  | { readonly kind: "dropped"; readonly assignment: Assignment }
  /** It waits in the child behind another one: the child must be told. */
  | { readonly kind: "skip"; readonly assignment: Assignment }
  /** It ran: only killing the child stops it. */
  | { readonly kind: "kill"; readonly assignment: Assignment }
  /** The worker does not hold it, or has finished it. */
  | { readonly kind: "unknown" };

/** The operations of this worker, in the order in which they came. No I/O: the supervisor acts on what it answers. */
export class LeaseBook {
  readonly #assignments = new Map<number, Assignment>();
  #lastTicket = 0;
  #lastSent = 0;

  /** How many operations are not finished. */
  get size(): number {
    return this.#assignments.size;
  }

  get(ticket: number): Assignment | undefined {
    return this.#assignments.get(ticket);
  }

  add(leaseId: number, fingerprint: Digest, operation: Operation): Assignment {
    const ticket = ++this.#lastTicket;
    const assignment: Assignment = {
      ticket,
      fingerprint,
      operation,
      leaseId,
      state: "fetching",
      sentOrder: 0,
    };
    this.#assignments.set(ticket, assignment);
    return assignment;
  }

  /** A new lease for an operation that runs on from a lost stream takes it over. */
  adopt(leaseId: number, fingerprint: Digest): Assignment | undefined {
    const orphan = this.#find((each) => each.fingerprint === fingerprint && each.leaseId === undefined);
    if (orphan) orphan.leaseId = leaseId;
    return orphan;
  }

  /** The child gets it, behind what it has. */
  send(assignment: Assignment): void {
    assignment.state = "sent";
    assignment.sentOrder = ++this.#lastSent;
  }

  /** The operation is finished, or will not be. */
  remove(ticket: number): Assignment | undefined {
    const assignment = this.#assignments.get(ticket);
    this.#assignments.delete(ticket);
    return assignment;
  }

  /** What the child works on. */
  running(): Assignment | undefined {
    return this.sent()[0];
  }

  /** What the child has, in order. */
  sent(): Assignment[] {
    return [...this.#assignments.values()]
      .filter((each) => each.state === "sent")
      .sort((a, b) => a.sentOrder - b.sentOrder);
  }

  /** The next operation for the child, of those whose artifacts are here. */
  nextReady(): Assignment | undefined {
    return this.#find((each) => each.state === "ready");
  }

  /** The child is gone: what it had is ready for the next one. */
  takeBackSent(): void {
    for (const each of this.sent()) each.state = "ready";
  }

  /** Takes an operation out of the book. */
  withdraw(leaseId: number): Withdrawal {
    const assignment = this.#find((each) => each.leaseId === leaseId);
    if (!assignment) return { kind: "unknown" };
    const runs = assignment === this.running();
    this.#assignments.delete(assignment.ticket);
    if (runs) return { kind: "kill", assignment };
    return { kind: assignment.state === "sent" ? "skip" : "dropped", assignment };
  }

  /** The stream ended, and with it all leases: what has not begun is withdrawn, what runs becomes an orphan. */
  forgetLeases(): Withdrawal[] {
    const running = this.running();
    const withdrawals: Withdrawal[] = [];
    for (const assignment of [...this.#assignments.values()]) {
      if (assignment !== running && assignment.leaseId !== undefined) {
        withdrawals.push(this.withdraw(assignment.leaseId));
      }
    }
    if (running) running.leaseId = undefined;
    return withdrawals;
  }

  leaseIds(): number[] {
    return [...this.#assignments.values()].flatMap(({ leaseId }) => (leaseId === undefined ? [] : [leaseId]));
  }

  #find(matches: (assignment: Assignment) => boolean): Assignment | undefined {
    for (const assignment of this.#assignments.values()) if (matches(assignment)) return assignment;
    return undefined;
  }
}

/**
 * How many leases to ask for, so that what is promised and what is held fill `window`: none while the outbox is full or
 * the worker drains.
 */
export function creditToGrant(state: {
  readonly window: number;
  /** Credit granted on this stream that no lease used up yet. */
  readonly outstanding: number;
  /** Operations that are not finished. */
  readonly held: number;
  readonly paused: boolean;
}): number {
  return state.paused ? 0 : Math.max(0, state.window - state.outstanding - state.held);
}
