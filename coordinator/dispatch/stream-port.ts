import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { CoordinatorMessage, LeaseMessage, WorkerMessage } from "../../proto/messages.ts";
import { operationMessageBytes } from "../../proto/operation-codec.ts";
import type { Digest } from "../../proto/operations.ts";
import type { SessionPort } from "./session-ports.ts";

/** Leases of one message have at most this many bytes together, or one lease is larger; gRPC's limit is 4 MiB. */
const MAX_LEASES_BYTES = 1024 ** 2;

/**
 * Sends to one worker, once per turn of the event loop: what came up in it goes out together, since a message costs more
 * than what is in it. No more is written than the stream takes; the rest, which credit bounds, waits here.
 */
export class StreamPort implements SessionPort {
  readonly #call: ServerDuplexStream<WorkerMessage, CoordinatorMessage>;
  readonly #onWritable: (writable: boolean) => void;
  #accepted: Digest[] = [];
  #leases: LeaseMessage[] = [];
  #others: CoordinatorMessage[] = [];
  /** What the stream did not take yet. */
  readonly #outgoing: CoordinatorMessage[] = [];
  #flushing: NodeJS.Immediate | undefined;
  #isWritable = true;
  #hasEnded = false;

  constructor(
    call: ServerDuplexStream<WorkerMessage, CoordinatorMessage>,
    onWritable: (writable: boolean) => void,
  ) {
    this.#call = call;
    this.#onWritable = onWritable;
    call.on("drain", () => {
      this.#isWritable = true;
      this.#flush();
      if (this.#isWritable) this.#onWritable(true);
    });
  }

  send(message: CoordinatorMessage): void {
    this.#others.push(message);
    this.#flushSoon();
  }

  lease(lease: LeaseMessage): void {
    this.#leases.push(lease);
    this.#flushSoon();
  }

  accept(fingerprint: Digest): void {
    this.#accepted.push(fingerprint);
    this.#flushSoon();
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearImmediate(this.#flushing);
    this.#collect();
    for (const message of this.#outgoing) this.#call.write(message);
    this.#call.end();
  }

  #flushSoon(): void {
    if (this.#hasEnded) return;
    this.#flushing ??= setImmediate(() => {
      this.#flushing = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    this.#collect();
    if (this.#hasEnded || !this.#isWritable) return;
    while (this.#isWritable && this.#outgoing.length > 0) {
      this.#isWritable = this.#call.write(this.#outgoing.shift()!);
    }
    if (!this.#isWritable) this.#onWritable(false);
  }

  /**
   * Makes messages of everything that came up in this turn. A result is accepted before its operation is leased again; a
   * cancel comes after the lease that it cancels.
   */
  #collect(): void {
    const [accepted, leases, others] = [this.#accepted, this.#leases, this.#others];
    this.#accepted = [];
    this.#leases = [];
    this.#others = [];
    if (accepted.length > 0) {
      this.#outgoing.push({ message: "accepted", accepted: { fingerprints: accepted } });
    }
    for (const some of inPortions(leases)) {
      this.#outgoing.push({ message: "leases", leases: { leases: some } });
    }
    this.#outgoing.push(...others);
  }
}

function inPortions(leases: readonly LeaseMessage[]): LeaseMessage[][] {
  const portions: LeaseMessage[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const lease of leases) {
    const more = operationMessageBytes(lease.operation);
    bytes += more;
    if (bytes > MAX_LEASES_BYTES) {
      portions.push([]);
      bytes = more;
    }
    portions.at(-1)!.push(lease);
  }
  return portions;
}
