import {
  connect,
  DiscardPolicy,
  Events,
  type JetStreamClient,
  type JetStreamManager,
  type KV,
  type NatsConnection,
  nanos,
  RetentionPolicy,
  StorageType,
  type StoredMsg,
  type StreamConfig,
  type StreamState,
} from "nats";
import { type NatsServers, natsConnectionOptions, refusalIn } from "../../proto/nats-connection.ts";
import { COORDINATOR_INBOX, LEADER_BUCKET, SUBJECT_TOKEN } from "../../proto/subjects.ts";
import { decodeHead, EMPTY, HEAD_HEADER, type Position, positionAfter } from "./entry.ts";
import { StoreDamagedError, StoreFullError, StoreGoneError, StoreUnreachableError } from "./errors.ts";
import {
  apiErrorCode,
  describe,
  NO_MESSAGE_FOUND,
  NO_ROOM,
  STREAM_NAME_IN_USE,
  STREAM_NOT_FOUND,
} from "./jetstream-errors.ts";

export interface StreamOptions extends NatsServers {
  /** Names the log among those on these servers: letters, digits, `_`, `-`. */
  readonly name: string;
  /** Servers that keep a copy: 1, 3 or 5. */
  readonly replicas: number;
  /** Above it appends are refused; nothing is ever dropped to make room. */
  readonly maxBytes: number;
  readonly log: (message: string) => void;
}

const REQUEST_MS = 2_000;
const GONE_AFTER_MS = 5_000;

/** The stream of a log, the bucket with its leader, and the connection to both. */
export class LogStream {
  readonly name: string;
  readonly subject: string;
  /** For messages. */
  readonly place: string;
  readonly connection: NatsConnection;
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly leaders: KV;
  readonly partBytes: number;
  #isConnected = true;
  #missingSinceMs: number | undefined;

  private constructor(
    options: StreamOptions,
    parts: Pick<LogStream, "connection" | "client" | "manager" | "leaders">,
  ) {
    this.name = streamName(options.name);
    this.subject = `elibad.log.${options.name}`;
    this.place = placeOf(options);
    this.connection = parts.connection;
    this.client = parts.client;
    this.manager = parts.manager;
    this.leaders = parts.leaders;
    // Headers, which the server counts too, take less than the rest.
    this.partBytes = Math.min(parts.connection.info?.max_payload ?? 1024 ** 2, 1024 ** 2) - 1024;
    void this.#watch(options.log);
  }

  /** Connects, and makes what is missing. @throws StoreUnreachableError, StoreFullError */
  static async open(options: StreamOptions): Promise<LogStream> {
    if (!SUBJECT_TOKEN.test(options.name)) {
      throw new RangeError(`'${options.name}' cannot name a log: letters, digits, _ and - only, at most 64`);
    }
    let connection: NatsConnection | undefined;
    try {
      const name = `elibad-log-${options.name}`;
      connection = await connect(natsConnectionOptions(options, { name, inbox: COORDINATOR_INBOX }));
      const client = connection.jetstream({ timeout: REQUEST_MS });
      const manager = await connection.jetstreamManager({ timeout: REQUEST_MS });
      await ensureStream(manager, options);
      const leaders = await client.views.kv(LEADER_BUCKET, {
        history: 1,
        replicas: options.replicas,
        timeout: REQUEST_MS,
      });
      return new LogStream(options, { connection, client, manager, leaders });
    } catch (error) {
      await connection?.close();
      const code = apiErrorCode(error);
      const cannot = code !== undefined && NO_ROOM.includes(code) ? StoreFullError : StoreUnreachableError;
      throw new cannot(placeOf(options), describe(error), { cause: error });
    }
  }

  /** Whether the server can be reached now. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  async state(): Promise<StreamState> {
    return (await this.manager.streams.info(this.name)).state;
  }

  /** A message by its place in the stream; undefined where there is none. */
  async message(sequence: number): Promise<StoredMsg | undefined> {
    try {
      return await this.manager.streams.getMessage(this.name, { seq: sequence });
    } catch (error) {
      if (apiErrorCode(error) === NO_MESSAGE_FOUND) return undefined;
      throw error;
    }
  }

  /** Where the log stands now. @throws StoreDamagedError */
  async position(): Promise<Position> {
    const { last_seq } = await this.state();
    if (last_seq === 0) return EMPTY;
    const message = await this.message(last_seq);
    if (!message) throw new StoreDamagedError(this.place, `its last message, ${last_seq}, is missing`);
    return positionAfter(decodeHead(message.header.get(HEAD_HEADER), this.place, last_seq), last_seq);
  }

  /**
   * To be asked again and again while something fails: a server that starts finds its streams one by one, so one that is
   * missing for a while is gone. @throws StoreGoneError
   */
  async assertThere(): Promise<void> {
    try {
      await this.state();
      this.#missingSinceMs = undefined;
    } catch (error) {
      if (apiErrorCode(error) !== STREAM_NOT_FOUND) return;
      const nowMs = performance.now();
      this.#missingSinceMs ??= nowMs;
      if (nowMs - this.#missingSinceMs > GONE_AFTER_MS) throw new StoreGoneError(this.place, "was deleted");
    }
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  async #watch(log: StreamOptions["log"]): Promise<void> {
    for await (const status of this.connection.status()) {
      const { type } = status;
      const refusal = refusalIn(status);
      if (refusal) log(`${this.place}: ${refusal.problem}`);
      if (type === Events.Disconnect) this.#isConnected = false;
      if (type === Events.Reconnect) this.#isConnected = true;
    }
  }
}

const streamName = (name: string) => `ELIBAD_LOG_${name}`;

/** Without the names and passwords that an address may hold. */
const placeOf = ({ name, url }: StreamOptions) =>
  `stream ${streamName(name)} at ${url.replace(/\/\/[^@/,]*@/g, "//")}`;

async function ensureStream(manager: JetStreamManager, options: StreamOptions): Promise<void> {
  const config: Partial<StreamConfig> = {
    name: streamName(options.name),
    subjects: [`elibad.log.${options.name}`],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.New,
    max_bytes: options.maxBytes,
    duplicate_window: nanos(120_000),
    num_replicas: options.replicas,
  };
  try {
    await manager.streams.add(config);
  } catch (error) {
    if (apiErrorCode(error) !== STREAM_NAME_IN_USE) throw error;
    await manager.streams.update(streamName(options.name), config);
  }
}
