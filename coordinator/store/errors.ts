import { z } from "zod";

/** Who has a log; `since` is ISO 8601, by the holder's clock. */
export const Holder = z.object({ host: z.string(), pid: z.number().int(), since: z.string() }).readonly();
export type Holder = z.infer<typeof Holder>;

/** What went wrong with a store, and which: the message begins with its file or stream. */
export abstract class StoreError extends Error {
  readonly place: string;

  constructor(place: string, problem: string, options?: ErrorOptions) {
    super(`${place}: ${problem}`, options);
    this.place = place;
  }
}

/** Another coordinator took the log over: this one's term is over, and nothing of the write was kept. */
export class FencedError extends StoreError {
  override readonly name = "FencedError";

  constructor(place: string, term: number, options?: ErrorOptions) {
    super(place, `term ${term} is over, another coordinator took the log over`, options);
  }
}

/** A coordinator that lives has the log. */
export class StoreHeldError extends StoreError {
  override readonly name = "StoreHeldError";
  readonly holder: Holder | undefined;

  constructor(place: string, holder: Holder | undefined) {
    const who = holder
      ? `process ${holder.pid} on ${holder.host} has it since ${holder.since}`
      : "another process has it";
    super(place, `${who}; one coordinator at a time can use a store`);
    this.holder = holder;
  }
}

/** What is stored is not what was written: truncated, overwritten, or no log at all. */
export class StoreDamagedError extends StoreError {
  override readonly name = "StoreDamagedError";
}

/** Acknowledged records are gone: the file was removed or replaced, the stream deleted, the connection ended for good. */
export class StoreGoneError extends StoreError {
  override readonly name = "StoreGoneError";
}

/** The servers of a stream, or JetStream on them, cannot be had now. */
export class StoreUnreachableError extends StoreError {
  override readonly name = "StoreUnreachableError";
}

/** There is no room for the write; nothing of it was kept. A later one may succeed. */
export class StoreFullError extends StoreError {
  override readonly name = "StoreFullError";
}

/** The log was closed before the write was acknowledged: it may be there or not. */
export class StoreClosedError extends StoreError {
  override readonly name = "StoreClosedError";

  constructor(place: string) {
    super(place, "the log is closed");
  }
}
