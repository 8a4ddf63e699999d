/** What the sweeps need of the store: a log of JSON values with one writer. */
export interface SweepLog {
  /** All or none, in order; resolved: durable. A `StoreFullError` says that nothing was written and that a later write may succeed. */
  append(values: readonly unknown[]): Promise<unknown>;
  /** The newest snapshot, if there is one, then the records after it. */
  replay(): AsyncIterable<
    | { readonly kind: "snapshot"; readonly upTo: number; readonly value: unknown }
    | { readonly kind: "record"; readonly sequence: number; readonly value: unknown }
  >;
  /** Takes the place of all records so far. */
  snapshot(value: unknown): Promise<void>;
}

/** The log took no more: whoever holds it must read it again, or is not its writer any longer. */
export class LogLostError extends Error {
  override readonly name = "LogLostError";
  constructor(cause: unknown) {
    super(`the sweeps' log takes no more: ${(cause as Error).message}`, { cause });
  }
}

/** By name, as the sweeps know no store. */
export const isFull = (error: unknown): boolean => error instanceof Error && error.name === "StoreFullError";
