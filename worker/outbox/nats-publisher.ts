import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, Events, type NatsConnection, NatsError } from "nats";
import {
  type NatsRefusal,
  type NatsServers,
  natsConnectionOptions,
  refusalIn,
  refusalOf,
} from "../../proto/nats-connection.ts";
import type { Digest } from "../../proto/operations.ts";
import { resultMessageId, workerInbox } from "../../proto/subjects.ts";

export interface PublisherOptions extends NatsServers {
  readonly subject: string;
  readonly workerId: string;
  readonly log: (message: string) => void;
  readonly onReconnect: () => void;
  readonly onRefused: (reason: NatsRefusal["reason"]) => void;
}

/** The way of results to JetStream. */
export type Publisher = Pick<NatsPublisher, "options" | "isConnected" | "publish" | "reconnect" | "close">;

/**
 * Publishes result envelopes to JetStream. It connects in the background and for ever: while there is no connection
 * `publish` answers false, and the result goes over the worker's own stream.
 */
export class NatsPublisher {
  readonly options: PublisherOptions;
  readonly #closed = new AbortController();
  #connection: NatsConnection | undefined;
  #connected = false;
  #saidRefusal: string | undefined;

  constructor(options: PublisherOptions) {
    this.options = options;
    void this.#stayConnected();
  }

  get isConnected(): boolean {
    return this.#connected;
  }

  /** False where JetStream did not acknowledge it in time. An acknowledgement is not the coordinator's `Accepted`. */
  async publish(fingerprint: Digest, envelope: Uint8Array, attempt: number): Promise<boolean> {
    const { subject, workerId, log } = this.options;
    if (!this.#connection || !this.#connected) return false;
    try {
      const msgID = resultMessageId(fingerprint, workerId, `${attempt}-${randomUUID()}`);
      await this.#connection.jetstream().publish(subject, envelope, { msgID, timeout: 5_000 });
      return true;
    } catch (error) {
      if (!this.#closed.signal.aborted) {
        log(`NATS did not take the result ${fingerprint.slice(0, 12)}: ${reasonOf(error)}`);
      }
      return false;
    }
  }

  /** Connects anew, with the credential of now. What is on its way meanwhile counts as not taken. */
  reconnect(): void {
    void this.#connection?.reconnect().catch(() => {});
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#connected = false;
    await this.#connection?.close();
  }

  async #stayConnected(): Promise<void> {
    const { url, log } = this.options;
    const { signal } = this.#closed;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await this.#session();
      } catch (error) {
        this.#refused(refusalOf(error));
        if (attempt === 0)
          log(`NATS at ${url}: ${(error as Error).message}; results go over the worker's stream`);
      }
      // Once connected, the client reconnects by itself; this loop is for the first time, and for a refusal later.
      await sleep(1_000 + 1_000 * Math.random(), undefined, { signal }).catch(() => {});
    }
  }

  async #session(): Promise<void> {
    const { workerId, log, onReconnect } = this.options;
    const inbox = workerInbox(workerId);
    const connection = await connect(natsConnectionOptions(this.options, { name: workerId, inbox }));
    this.#connection = connection;
    if (this.#closed.signal.aborted) return await connection.close();
    this.#connected = true;
    log(`results go through NATS at ${connection.getServer()}`);
    for await (const status of connection.status()) {
      const { type } = status;
      this.#refused(refusalIn(status));
      if (type === Events.Reconnect) {
        this.#saidRefusal = undefined;
        onReconnect();
      }
      if (type === Events.Reconnect || type === Events.Disconnect) {
        this.#connected = type === Events.Reconnect;
        log(this.#connected ? "NATS is back" : "NATS is away: results go over the worker's stream");
      }
    }
    this.#connected = false;
  }

  /** Counts each, and says the same once until there is a connection again: a credential that is not taken is refused every second. */
  #refused(refusal: NatsRefusal | undefined): void {
    if (refusal === undefined) return;
    const { log, onRefused } = this.options;
    onRefused(refusal.reason);
    if (refusal.problem !== this.#saidRefusal) log(refusal.problem);
    this.#saidRefusal = refusal.problem;
  }
}

/** What the server says, where it says something: the client's own message for a full stream is a number. */
function reasonOf(error: unknown): string {
  const said = error instanceof NatsError ? error.api_error?.description : undefined;
  return said ?? (error as Error).message;
}
