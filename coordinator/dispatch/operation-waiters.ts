import type { OperationMessage } from "../../proto/messages.ts";
import { operationMessageBytes, operationToMessage } from "../../proto/operation-codec.ts";
import type { Operation, OperationResult } from "../../proto/operations.ts";
import { OperationTooLargeError } from "./errors.ts";
import type { OperationKey } from "./state.ts";

/** gRPC's limit for a message is 4 MiB; a lease is little more than its operation. */
const MAX_OPERATION_BYTES = 3 * 1024 ** 2;

/** Somebody waits for this operation. */
export interface Waiter {
  readonly scope: string;
  readonly operation: Operation;
  readonly message: OperationMessage;
  readonly promise: Promise<OperationResult>;
  readonly resolve: (result: OperationResult) => void;
  readonly reject: (error: Error) => void;
  /** Calls of `run` that wait. */
  users: number;
}

/** What one call waits for. */
export interface WaitingCall {
  readonly waiters: ReadonlyMap<OperationKey, Waiter>;
  /** Those of its operations that nobody waited for before. */
  readonly fresh: ReadonlySet<OperationKey>;
}

/** Who waits for operations. Equal ones of a scope, also of several calls, are one. */
export class OperationWaiters {
  readonly #waiters = new Map<OperationKey, Waiter>();

  get(key: OperationKey): Waiter | undefined {
    return this.#waiters.get(key);
  }

  keys(): OperationKey[] {
    return [...this.#waiters.keys()];
  }

  /** A call begins to wait. @throws OperationTooLargeError; it waits for nothing then */
  join(
    scope: string,
    wanted: readonly { readonly key: OperationKey; readonly operation: Operation }[],
  ): WaitingCall {
    const fresh = new Map<OperationKey, Waiter>();
    for (const { operation, key } of wanted) {
      if (!this.#waiters.has(key) && !fresh.has(key)) fresh.set(key, newWaiter(scope, operation));
    }
    for (const [key, waiter] of fresh) this.#waiters.set(key, waiter);
    const waiters = new Map(wanted.map(({ key }) => [key, this.#waiters.get(key)!]));
    for (const waiter of waiters.values()) waiter.users += 1;
    return { waiters, fresh: new Set(fresh.keys()) };
  }

  /** A call waits no more. Gives those that nobody waits for now. */
  leave({ waiters }: WaitingCall): [OperationKey, Waiter][] {
    const unwanted: [OperationKey, Waiter][] = [];
    for (const [key, waiter] of waiters) {
      waiter.users -= 1;
      if (waiter.users > 0 || this.#waiters.get(key) !== waiter) continue;
      this.#waiters.delete(key);
      unwanted.push([key, waiter]);
    }
    return unwanted;
  }

  /** Takes out one that is about to hear of its operation. */
  take(key: OperationKey): Waiter {
    const waiter = this.#waiters.get(key)!;
    this.#waiters.delete(key);
    return waiter;
  }

  /** Takes out all that wait in a scope. */
  takeAllOf(scope: string): Waiter[] {
    return [...this.#waiters].flatMap(([key, waiter]) => (waiter.scope === scope ? [this.take(key)] : []));
  }

  /** All get an error, and nobody waits any more. */
  rejectAll(error: () => Error): void {
    for (const waiter of this.#waiters.values()) waiter.reject(error());
    this.#waiters.clear();
  }
}

/** @throws OperationTooLargeError */
function newWaiter(scope: string, operation: Operation): Waiter {
  const message = operationToMessage(operation);
  const bytes = operationMessageBytes(message);
  if (bytes > MAX_OPERATION_BYTES)
    throw new OperationTooLargeError(operation.kind, bytes, MAX_OPERATION_BYTES);
  let resolve!: Waiter["resolve"];
  let reject!: Waiter["reject"];
  const promise = new Promise<OperationResult>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { scope, operation, message, promise, resolve, reject, users: 0 };
}
