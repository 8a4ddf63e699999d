import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { NatsError } from "nats";
import type { NatsServers } from "../../proto/nats-connection.ts";
import { FencedError } from "./errors.ts";
import { describe } from "./jetstream-errors.ts";
import { JetStreamMedium } from "./jetstream-medium.ts";
import { LogStream } from "./jetstream-stream.ts";
import { StreamWriter } from "./jetstream-writer.ts";
import { type Leader, LeaderLease } from "./leader-lease.ts";
import type { RestorableLog } from "./log.ts";
import { SingleWriterLog } from "./single-writer-log.ts";

export interface JetStreamLogOptions extends NatsServers {
  /** Names the log among those on these servers: letters, digits, `_`, `-`. */
  readonly name: string;
  /** Where workers and clients find this coordinator; a standby hears its leader's. */
  readonly address: string;
  /** Servers that keep a copy: 1 (default), 3 or 5. */
  readonly replicas?: number;
  /** Above it appends are refused; 1 GiB, which the server must have. */
  readonly maxBytes?: number;
  /** A leader that was not heard of for so long is replaced. */
  readonly leaseMs?: number;
  /** Ends the waiting for the lead. */
  readonly signal?: AbortSignal;
  /** While this coordinator stands by: the address of the one that leads, whenever it changes. */
  readonly onLeader?: (address: string) => void;
  readonly log?: (message: string) => void;
}

const GIB = 1024 ** 3;

/** With it, and half a second between looks, a dead leader is replaced within 8 s. */
const LEASE_MS = 7_000;

/**
 * The log in one JetStream stream, once this coordinator leads; until then it waits. The term's first message fences the
 * leader before it.
 * @throws StoreUnreachableError where it cannot even stand by; StoreGoneError where the stream is deleted meanwhile; StoreDamagedError; the signal's reason.
 */
export async function openJetStreamLog(options: JetStreamLogOptions): Promise<RestorableLog> {
  const { replicas = 1, maxBytes = GIB } = options;
  const log = withoutRepetition(options.log);
  const stream = await LogStream.open({ ...options, replicas, maxBytes, log });
  try {
    return new SingleWriterLog(await lead(stream, { ...options, log }));
  } catch (error) {
    await stream.close();
    throw error;
  }
}

async function lead(
  stream: LogStream,
  options: JetStreamLogOptions & { readonly log: (message: string) => void },
): Promise<JetStreamMedium> {
  const { address, log, leaseMs = LEASE_MS, signal = NEVER } = options;
  const since = new Date().toISOString();
  const me = { id: randomUUID(), address, host: hostname(), pid: process.pid, since };
  const lease = new LeaderLease({ bucket: stream.leaders, key: options.name, me, leaseMs });
  const end = new AbortController();
  let heard = "";
  const onLook = (leader: Leader) => {
    if (leader.address !== heard) options.onLeader?.(leader.address);
    heard = leader.address;
  };
  const onError = async (error: unknown) => {
    if (!(error instanceof NatsError)) throw error;
    log(`${stream.place}: cannot take the lead now: ${describe(error)}`);
    await stream.assertThere();
  };
  for (;;) {
    const from = await lease.acquire(signal, onLook, onError);
    if (from) {
      const silence = `did not renew its lease for ${(from.forMs / 1_000).toFixed(1)} s`;
      log(`the leader at ${from.leader.address} ${silence}: this coordinator takes over`);
    }
    try {
      const writer = await beginTerm(stream, lease, end.signal, log);
      if (writer) return new JetStreamMedium({ stream, lease, writer, end, log });
    } catch (error) {
      await onError(error);
      await pause(500);
    }
  }
}

const NEVER = new AbortController().signal;

/** What fails while a server is away fails several times a second. */
function withoutRepetition(log: (message: string) => void = () => {}): (message: string) => void {
  let previous = "";
  return (message) => {
    if (message !== previous) log(message);
    previous = message;
  };
}

/** Undefined where another one took the lease meanwhile. */
async function beginTerm(
  stream: LogStream,
  lease: LeaderLease,
  signal: AbortSignal,
  log: (message: string) => void,
): Promise<StreamWriter | undefined> {
  for (;;) {
    const position = await stream.position();
    // After the look at the stream: whoever takes the lease from now on appends after that position, and fences us.
    if (!(await lease.renew())) return undefined;
    const writer = new StreamWriter({ stream, term: position.term + 1, position, signal, log });
    try {
      await writer.write("term", new Uint8Array(), position.last);
      return writer;
    } catch (error) {
      // The leader before us wrote something meanwhile.
      if (!(error instanceof FencedError)) throw error;
      await pause(10);
    }
  }
}
