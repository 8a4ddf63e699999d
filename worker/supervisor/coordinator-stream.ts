import { type ClientDuplexStream, type ServiceError, status } from "@grpc/grpc-js";
import type { CoordinatorClient } from "../../proto/client.ts";
import { isDialable } from "../../proto/leader.ts";
import type { CoordinatorMessage, Hello, Welcome, WorkerMessage } from "../../proto/messages.ts";
import type { Clock } from "../clock.ts";

export interface StreamEvents {
  /** The coordinator welcomed the worker. */
  open(stream: CoordinatorStream): void;
  /** What comes after Welcome. */
  message(message: CoordinatorMessage): void;
  /** The stream is over; nothing more comes. */
  end(reason: string): void;
}

/** A coordinator answered Hello with Refused, or takes no worker's calls from this certificate: coming back unchanged is of no use. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}

/** A coordinator that does not lead; `leader` is who does, as far as it knows, and may be dialled. */
export class NotLeaderError extends Error {
  override readonly name = "NotLeaderError";
  readonly leader: string | undefined;
  constructor(leader: string) {
    super(leader === "" ? "it does not lead, and knows nobody who does" : `it does not lead, ${leader} does`);
    this.leader = isDialable(leader) ? leader : undefined;
  }
}

/** What a stream is made with. */
export interface Dialling {
  readonly connect: (address: string) => CoordinatorClient;
  /** Why nobody could be connected to there, where the library does not say it. */
  readonly whyNot?: (address: string) => Promise<string | undefined>;
  readonly clock: Clock;
}

const WELCOME_MS = 10_000;

/** What a certificate of another role, or of none, is answered with. */
const REFUSALS: ReadonlySet<status> = new Set([status.UNAUTHENTICATED, status.PERMISSION_DENIED]);

/** Results of one message have at most this many bytes together, or one result is larger; gRPC's limit is 4 MiB. */
const MAX_RESULTS_BYTES = 1024 ** 2;

/**
 * Dials a coordinator and says Hello. Resolves after `events.open`.
 *
 * @throws RefusedError, NotLeaderError, or an error that says why there is no stream: then another attempt may succeed.
 */
export function dialCoordinator(
  address: string,
  hello: Hello,
  signal: AbortSignal,
  events: StreamEvents,
  { connect, clock }: Dialling,
): Promise<void> {
  signal.throwIfAborted();
  const client = connect(address);
  const call = client.work();
  let stream: CoordinatorStream | undefined;
  return new Promise<void>((resolve, reject) => {
    const fail = (error: Error) => {
      settle();
      call.cancel();
      client.close();
      reject(error);
    };
    const stopWaiting = clock.after(WELCOME_MS, () => fail(new Error("no answer to Hello")));
    const onAbort = () => fail(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    const settle = () => {
      stopWaiting();
      signal.removeEventListener("abort", onAbort);
    };
    const over = (reason: string) => {
      if (stream) stream.over(reason);
      else fail(new Error(reason));
    };
    call.on("error", (error: ServiceError) => {
      if (!stream && REFUSALS.has(error.code)) fail(new RefusedError(error.details));
      else over(error.message);
    });
    call.on("end", () => over("the coordinator ended the stream"));
    call.on("data", (message: CoordinatorMessage) => {
      if (stream) return events.message(message);
      if (message.message === "refused") return fail(new RefusedError(message.refused.reason));
      if (message.message === "notLeader") return fail(new NotLeaderError(message.notLeader.address));
      if (message.message !== "welcome") return fail(new Error(`Hello was answered with ${message.message}`));
      settle();
      const { welcome } = message;
      stream = new CoordinatorStream({ address, client, call, clock, welcome, onEnd: events.end });
      events.open(stream);
      resolve();
    });
    call.write({ message: "hello", hello });
  });
}

interface StreamParts {
  readonly address: string;
  readonly client: CoordinatorClient;
  readonly call: ClientDuplexStream<WorkerMessage, CoordinatorMessage>;
  readonly clock: Clock;
  readonly welcome: Welcome;
  readonly onEnd: (reason: string) => void;
}

/** One `Work` stream, from Welcome to its end. */
export class CoordinatorStream {
  readonly address: string;
  readonly welcome: Welcome;
  /** Channel of the stream, for artifacts. */
  readonly client: CoordinatorClient;
  readonly #call: StreamParts["call"];
  readonly #clock: Clock;
  readonly #onEnd: StreamParts["onEnd"];
  readonly #ended = new AbortController();
  /** Messages that wait for the transport to drain. */
  readonly #waiting: WorkerMessage[] = [];
  /** Result envelopes of this turn of the event loop. */
  #results: Uint8Array[] = [];
  #resultBytes = 0;
  #full = false;
  #halfClosed = false;

  constructor({ address, client, call, clock, welcome, onEnd }: StreamParts) {
    this.address = address;
    this.client = client;
    this.welcome = welcome;
    this.#call = call;
    this.#clock = clock;
    this.#onEnd = onEnd;
    call.on("drain", () => {
      this.#full = false;
      this.#flush();
    });
  }

  /** Sends in order, as fast as the transport takes it. After the end nothing happens. */
  send(message: WorkerMessage): void {
    if (this.#ended.signal.aborted || this.#halfClosed) return;
    this.#collectResults();
    this.#waiting.push(message);
    this.#flush();
  }

  /** Sends the bytes of a result envelope, together with others of this turn of the event loop. */
  sendResult(envelope: Uint8Array): void {
    if (this.#resultBytes + envelope.length > MAX_RESULTS_BYTES) this.#collectResults();
    this.#resultBytes += envelope.length;
    if (this.#results.push(envelope) > 1) return;
    setImmediate(() => {
      this.#collectResults();
      this.#flush();
    });
  }

  /** Says Goodbye, and waits until the coordinator has ended its side, at most `waitMs`. */
  async goodbye(reason: string, waitMs: number): Promise<void> {
    this.send({ message: "goodbye", goodbye: { reason } });
    this.#halfClosed = true;
    this.#flush();
    await new Promise<void>((resolve) => {
      const stopWaiting = this.#clock.after(waitMs, resolve);
      const ended = () => {
        stopWaiting();
        resolve();
      };
      if (this.#ended.signal.aborted) ended();
      else this.#ended.signal.addEventListener("abort", ended, { once: true });
    });
    this.close();
  }

  /** Breaks it off. */
  close(): void {
    this.#call.cancel();
    this.over("broken off");
  }

  /** The transport says that it is over. */
  over(reason: string): void {
    if (this.#ended.signal.aborted) return;
    this.#ended.abort();
    this.#onEnd(reason);
    this.client.close();
  }

  #collectResults(): void {
    if (this.#results.length === 0) return;
    const message: WorkerMessage = {
      message: "resultEnvelopes",
      resultEnvelopes: { envelopes: this.#results },
    };
    this.#results = [];
    this.#resultBytes = 0;
    if (!this.#ended.signal.aborted && !this.#halfClosed) this.#waiting.push(message);
  }

  #flush(): void {
    while (!this.#full && !this.#ended.signal.aborted) {
      const next = this.#waiting.shift();
      if (!next) {
        if (this.#halfClosed) this.#call.end();
        return;
      }
      this.#full = !this.#call.write(next);
    }
  }
}
