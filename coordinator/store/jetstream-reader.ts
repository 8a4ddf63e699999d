import { DeliverPolicy, type JsMsg } from "nats";
import {
  decodeHead,
  type Entry,
  EntryAssembler,
  HEAD_HEADER,
  type Position,
  SnapshotContent,
} from "./entry.ts";
import { StoreClosedError, StoreDamagedError } from "./errors.ts";
import type { LogStream } from "./jetstream-stream.ts";
import type { LogEntry } from "./log.ts";

/** Messages on their way at once; the largest are 1 MB. */
const IN_FLIGHT = 64;

/** The newest snapshot and the records after it, up to a position. @throws StoreDamagedError where messages are missing. */
export async function* readLog(
  stream: LogStream,
  position: Position,
  signal: AbortSignal,
): AsyncGenerator<LogEntry, void, void> {
  const from = position.snapshotAt || 1;
  let last = 0;
  for await (const entry of entriesOf(stream, from, position.sequence, signal)) {
    const { head } = entry;
    if (head.kind === "term") continue;
    for (const one of head.kind === "snapshot" ? unpackSnapshot(stream, entry) : unpackBatch(stream, entry)) {
      const sequence = one.kind === "snapshot" ? one.upTo : one.sequence;
      if (one.kind === "record" && sequence !== last + 1) {
        throw new StoreDamagedError(stream.place, `record ${last + 1} is missing`);
      }
      last = sequence;
      yield one;
    }
  }
  if (last !== position.last) throw new StoreDamagedError(stream.place, `record ${position.last} is missing`);
}

function unpackSnapshot(stream: LogStream, { head, content }: Entry): LogEntry[] {
  const parsed = SnapshotContent.safeParse(content);
  if (!parsed.success) throw new StoreDamagedError(stream.place, "a snapshot is not what was written");
  const { upTo, snapshot, records } = parsed.data;
  return [
    ...(snapshot ? [{ kind: "snapshot", upTo, value: snapshot.value } as const] : []),
    ...numbered(records, head.after - records.length),
  ];
}

function unpackBatch(stream: LogStream, { head, content }: Entry): LogEntry[] {
  if (!Array.isArray(content) || content.length !== head.after - head.before) {
    throw new StoreDamagedError(
      stream.place,
      `records ${head.before + 1} to ${head.after} are not what was written`,
    );
  }
  return numbered(content, head.before);
}

const numbered = (values: readonly unknown[], before: number): LogEntry[] =>
  values.map((value, k) => ({ kind: "record", sequence: before + 1 + k, value }));

async function* entriesOf(
  stream: LogStream,
  from: number,
  to: number,
  signal: AbortSignal,
): AsyncGenerator<Entry> {
  const assembler = new EntryAssembler(stream.place);
  let expected = from;
  for await (const message of messagesOf(stream, from, to, signal)) {
    if (message.seq !== expected) throw new StoreDamagedError(stream.place, `message ${expected} is missing`);
    expected++;
    const head = decodeHead(message.headers?.get(HEAD_HEADER), stream.place, message.seq);
    const entry = assembler.add(head, message.data, message.seq);
    if (entry) yield entry;
  }
}

async function* messagesOf(
  stream: LogStream,
  from: number,
  to: number,
  signal: AbortSignal,
): AsyncGenerator<JsMsg, void, void> {
  const { first_seq, last_seq } = await stream.state();
  if (from > to) return;
  if (first_seq > from || last_seq < to) {
    throw new StoreDamagedError(
      stream.place,
      `holds messages ${first_seq} to ${last_seq}; ${from} to ${to} were written`,
    );
  }
  const consumer = await stream.client.consumers.get(stream.name, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
  });
  const messages = await consumer.consume({ max_messages: IN_FLIGHT });
  const stop = () => messages.stop();
  signal.addEventListener("abort", stop);
  try {
    for await (const message of messages) {
      yield message;
      if (message.seq >= to) return;
    }
    throw new StoreClosedError(stream.place);
  } finally {
    signal.removeEventListener("abort", stop);
    await messages.close();
  }
}
