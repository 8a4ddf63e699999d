import { setTimeout as pause } from "node:timers/promises";
import {
  AckPolicy,
  type ConsumerConfig,
  ConsumerEvents,
  type ConsumerMessages,
  connect,
  DeliverPolicy,
  Events,
  type JetStreamManager,
  type JsMsg,
  type NatsConnection,
  NatsError,
  nanos,
} from "nats";
import type { Logger } from "pino";
import {
  type NatsRefusal,
  type NatsServers,
  natsConnectionOptions,
  refusalIn,
} from "../../proto/nats-connection.ts";
import {
  COORDINATOR_INBOX,
  RESULT_STREAM,
  RESULT_STREAM_CONFIG,
  resultSubjectsOf,
  SUBJECT_TOKEN,
} from "../../proto/subjects.ts";

export interface NatsResultsOptions extends NatsServers {
  readonly coordinatorId: string;
  /** False: the consumer is removed on close, since nobody will come back under this id. */
  readonly isDurable: boolean;
  readonly receive: (bytes: Uint8Array, workerId: string) => void | Promise<void>;
  /** Seconds from the broker's having a result to its arrival here. */
  readonly onLag: (seconds: number) => void;
  readonly onReconnect: () => void;
  /** The server refused this coordinator something. */
  readonly onRefused: (refusal: NatsRefusal) => void;
  readonly logger: Logger;
}

/** NATS could not be reached, or JetStream is not there for us. */
export class NatsResultsError extends Error {
  override readonly name = "NatsResultsError";
  constructor(url: string, cause: unknown) {
    super(`results through NATS at ${url}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Results from JetStream, until `close`. The stream and the consumer are made where they are missing, also when a server
 * comes back without its store. What was in it is not lost: outboxes keep results until they are accepted over gRPC.
 */
export class NatsResults {
  readonly #options: NatsResultsOptions;
  readonly #connection: NatsConnection;
  readonly #closing = new AbortController();
  #messages: ConsumerMessages | undefined;
  #running: Promise<void> = Promise.resolve();
  /** Results that are being read. */
  readonly #reading = new Set<Promise<void>>();

  private constructor(options: NatsResultsOptions, connection: NatsConnection) {
    this.#options = options;
    this.#connection = connection;
  }

  /** @throws NatsResultsError where the server or JetStream cannot be had now. */
  static async open(options: NatsResultsOptions): Promise<NatsResults> {
    let connection: NatsConnection | undefined;
    try {
      const name = `elibad-coordinator-${options.coordinatorId}`;
      connection = await connect(natsConnectionOptions(options, { name, inbox: COORDINATOR_INBOX }));
      const results = new NatsResults(options, connection);
      await results.#ensure();
      results.#running = results.#run();
      void results.#watch();
      return results;
    } catch (error) {
      await connection?.close();
      throw new NatsResultsError(options.url, error);
    }
  }

  /** Whether the server can be reached now. */
  get isConnected(): boolean {
    return this.#isConnected;
  }
  #isConnected = true;

  async close(): Promise<void> {
    this.#closing.abort();
    this.#messages?.stop();
    await this.#running;
    await Promise.all(this.#reading);
    if (!this.#options.isDurable && this.#isConnected) await this.#removeTraces().catch(() => {});
    await this.#connection.close();
  }

  get #consumerName(): string {
    return `coordinator-${this.#options.coordinatorId}`;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const { logger } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#ensure();
        await this.#consume();
      } catch (error) {
        if (!signal.aborted) logger.warn({ err: error }, "results from NATS are interrupted");
      }
      await pause(500, undefined, { signal }).catch(() => {});
    }
  }

  async #consume(): Promise<void> {
    const consumer = await this.#connection.jetstream().consumers.get(RESULT_STREAM, this.#consumerName);
    if (this.#closing.signal.aborted) return;
    const messages = await consumer.consume({ max_messages: 512, expires: 5_000 });
    this.#messages = messages;
    void stopWhenGone(messages);
    for await (const message of messages) this.#take(message);
  }

  /** Results whose files must be read first keep no others back. */
  #take(message: JsMsg): void {
    this.#options.onLag(Math.max(0, Date.now() - message.info.timestampNanos / 1e6) / 1_000);
    const workerId = message.subject.split(".").at(-1)!;
    // NATS takes other characters in a subject, and no worker has them in its id.
    if (!SUBJECT_TOKEN.test(workerId)) {
      this.#options.logger.warn({ subject: message.subject.slice(0, 200) }, "a result of no worker");
      message.ack();
      return;
    }
    const reading = (async () => this.#options.receive(message.data, workerId))()
      .catch((error: unknown) => this.#options.logger.error({ err: error }, "a result could not be read"))
      .finally(() => {
        // Also what could not be read: it would be no better the next time.
        message.ack();
        this.#reading.delete(reading);
      });
    this.#reading.add(reading);
  }

  async #ensure(): Promise<void> {
    const manager = await this.#connection.jetstreamManager();
    await ensureStream(manager);
    const config: ConsumerConfig = {
      durable_name: this.#consumerName,
      filter_subject: resultSubjectsOf(this.#options.coordinatorId),
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(30_000),
      deliver_policy: DeliverPolicy.All,
      replay_policy: "instant" as ConsumerConfig["replay_policy"],
      max_ack_pending: 4_096,
      inactive_threshold: nanos(3_600_000),
    };
    await manager.consumers.add(RESULT_STREAM, config);
  }

  async #removeTraces(): Promise<void> {
    const manager = await this.#connection.jetstreamManager({ timeout: 1_000 });
    await manager.consumers.delete(RESULT_STREAM, this.#consumerName);
    await manager.streams.purge(RESULT_STREAM, { filter: resultSubjectsOf(this.#options.coordinatorId) });
  }

  async #watch(): Promise<void> {
    let said = "";
    for await (const status of this.#connection.status()) {
      const { type } = status;
      const refusal = refusalIn(status);
      if (refusal) {
        // A credential that is not taken is refused every second: it is said once.
        if (refusal.problem !== said) this.#options.logger.warn({ reason: refusal.reason }, refusal.problem);
        said = refusal.problem;
        this.#options.onRefused(refusal);
      }
      if (type === Events.Disconnect) this.#isConnected = false;
      if (type !== Events.Reconnect) continue;
      said = "";
      this.#isConnected = true;
      this.#options.onReconnect();
      this.#options.logger.info("reconnected to NATS");
      // It may be a server that lost its store: the stream is looked for at once, and not when its silence is noticed.
      this.#messages?.stop();
    }
  }
}

/** Creates the stream, or brings an older one up to date. Any number of coordinators may do so at once. */
async function ensureStream(manager: JetStreamManager): Promise<void> {
  try {
    await manager.streams.add(RESULT_STREAM_CONFIG);
  } catch (error) {
    if (!(error instanceof NatsError) || error.api_error?.err_code !== STREAM_NAME_IN_USE) throw error;
    await manager.streams.update(RESULT_STREAM, RESULT_STREAM_CONFIG);
  }
}

/** "stream name already in use with a different configuration" */
const STREAM_NAME_IN_USE = 10058;

/** A stream or consumer that is gone does not come back by waiting. */
async function stopWhenGone(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of await messages.status()) {
    switch (type) {
      case ConsumerEvents.StreamNotFound:
      case ConsumerEvents.ConsumerNotFound:
      case ConsumerEvents.ConsumerDeleted:
      case ConsumerEvents.HeartbeatsMissed:
        messages.stop();
    }
  }
}
