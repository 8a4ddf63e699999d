import type { ClientDuplexStream } from "@grpc/grpc-js";
import { type CoordinatorClient, connectToCoordinator } from "../../proto/client.ts";
import type { CoordinatorMessage, Hello, Welcome, WorkerMessage } from "../../proto/messages.ts";

export interface StreamEvents {
  message(message: CoordinatorMessage): void;
  /** The stream is over; nothing more comes. */
  end(reason: string): void;
}

/** A coordinator answered Hello with Refused: coming back unchanged is of no use. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}

/** One `Work` stream, from Welcome to its end. */
export interface CoordinatorStream {
  readonly address: string;
  readonly welcome: Welcome;
  /** Channel of the stream, for artifacts. */
  readonly client: CoordinatorClient;
  /** Sends in order, as fast as the transport takes it. After the end, nothing happens. */
  send(message: WorkerMessage): void;
  /** Says Goodbye and waits until the coordinator has ended its side, at most `waitMs`. */
  goodbye(reason: string, waitMs: number): Promise<void>;
  /** Breaks it off. */
  close(): void;
}

const WELCOME_MS = 10_000;

/**
 * Dials a coordinator and says Hello.
 *
 * @throws RefusedError, or an error that says why there is no stream: then another attempt may succeed.
 */
export async function dialCoordinator(
  address: string,
  hello: Hello,
  signal: AbortSignal,
  events: StreamEvents,
): Promise<CoordinatorStream> {
  signal.throwIfAborted();
  const client = connectToCoordinator(address);
  const giveUp = () => client.close();
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    const stream = client.work();
    const outgoing = new Outgoing(stream);
    outgoing.send({ message: "hello", hello });
    const welcome = await firstMessage(stream, signal);
    let over = false;
    const end = (reason: string) => {
      if (over) return;
      over = true;
      events.end(reason);
      client.close();
    };
    const ended = new Promise<void>((resolve) => {
      for (const event of ["end", "error", "close"]) stream.once(event, () => resolve());
    });
    stream.on("data", (message: CoordinatorMessage) => events.message(message));
    stream.on("error", (error) => end(error.message));
    stream.once("end", () => end("the coordinator ended the stream"));
    stream.resume();
    return {
      address,
      welcome,
      client,
      send: (message) => {
        if (!over) outgoing.send(message);
      },
      close: () => {
        stream.cancel();
        end("broken off");
      },
      goodbye: async (reason, waitMs) => {
        if (over) return;
        outgoing.send({ message: "goodbye", goodbye: { reason } });
        outgoing.end();
        let timer: NodeJS.Timeout | undefined;
        await Promise.race([
          ended,
          new Promise((resolve) => {
            timer = setTimeout(resolve, waitMs);
          }),
        ]);
        clearTimeout(timer);
        stream.cancel();
        end("the worker said Goodbye");
      },
    };
  } catch (error) {
    client.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}

/** Waits for Welcome; the stream is paused afterwards, so that nothing is lost before the listeners are there. */
function firstMessage(
  stream: ClientDuplexStream<WorkerMessage, CoordinatorMessage>,
  signal: AbortSignal,
): Promise<Welcome> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(() => reject(new Error("no answer to Hello"))), WELCOME_MS);
    const settle = (how: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      stream.off("data", onData);
      stream.off("end", onEnd);
      stream.off("error", onError);
      stream.on("error", () => {}); // what a stream says after it was given up
      how();
    };
    const onAbort = () => settle(() => reject(signal.reason));
    const onEnd = () => settle(() => reject(new Error("the coordinator ended the stream without an answer")));
    const onError = (error: Error) => settle(() => reject(error));
    const onData = (first: CoordinatorMessage) => {
      stream.pause();
      settle(() => {
        if (first.message === "welcome") resolve(first.welcome);
        else if (first.message === "refused") reject(new RefusedError(first.refused.reason));
        else reject(new Error(`the coordinator answered Hello with ${first.message}`));
      });
    };
    signal.addEventListener("abort", onAbort, { once: true });
    stream.on("data", onData);
    stream.once("end", onEnd);
    stream.once("error", onError);
  });
}

/** Messages in order; where the transport is full they wait here until it drains. */
class Outgoing {
  readonly #stream: ClientDuplexStream<WorkerMessage, CoordinatorMessage>;
  readonly #waiting: WorkerMessage[] = [];
  #full = false;
  #ending = false;

  constructor(stream: ClientDuplexStream<WorkerMessage, CoordinatorMessage>) {
    this.#stream = stream;
    stream.on("drain", () => {
      this.#full = false;
      this.#flush();
    });
  }

  send(message: WorkerMessage): void {
    this.#waiting.push(message);
    this.#flush();
  }

  /** Half-closes after what was sent. */
  end(): void {
    this.#ending = true;
    this.#flush();
  }

  #flush(): void {
    for (;;) {
      if (this.#full || this.#stream.destroyed) return;
      const next = this.#waiting.shift();
      if (!next) break;
      this.#full = !this.#stream.write(next);
    }
    if (this.#ending) this.#stream.end();
  }
}
