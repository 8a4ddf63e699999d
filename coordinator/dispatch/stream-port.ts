import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { CoordinatorMessage, LeaseMessage, WorkerMessage } from "../../proto/messages.ts";
import { operationMessageBytes } from "../../proto/operation-codec.ts";
import type { Digest } from "../../proto/operations.ts";
import type { SessionPort } from "./dispatcher.ts";

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
    for (const message of this.#batches()) this.#call.write(message);
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
    if (this.#hasEnded || !this.#isWritable) return;
    let isWritable = true;
    // A batch is not divided: it goes out whole, and the next one waits.
    for (const message of this.#batches()) isWritable = this.#call.write(message) && isWritable;
    if (isWritable) return;
    this.#isWritable = false;
    this.#onWritable(false);
  }

  /**
   * Everything that waits. A result is accepted before its operation is leased again; a cancel comes after the lease that
   * it cancels.
   */
  #batches(): CoordinatorMessage[] {
    const [accepted, leases, others] = [this.#accepted, this.#leases, this.#others];
    this.#accepted = [];
    this.#leases = [];
    this.#others = [];
    const batches: CoordinatorMessage[] = [];
    if (accepted.length > 0) batches.push({ message: "accepted", accepted: { fingerprints: accepted } });
    for (const some of inPortions(leases)) batches.push({ message: "leases", leases: { leases: some } });
    batches.push(...others);
    return batches;
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
