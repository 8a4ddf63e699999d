import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { headers } from "nats";
import {
  type EntryHead,
  encodeHead,
  HEAD_HEADER,
  type Position,
  positionAfter,
  splitContent,
} from "./entry.ts";
import {
  FencedError,
  StoreClosedError,
  StoreDamagedError,
  StoreFullError,
  StoreGoneError,
} from "./errors.ts";
import { apiErrorCode, describe, NO_ROOM, WRONG_LAST_SEQUENCE } from "./jetstream-errors.ts";
import type { LogStream } from "./jetstream-stream.ts";

const RETRY_MS = 250;

export interface WriterOptions {
  readonly stream: LogStream;
  readonly term: number;
  /** Where the log stood when this writer read it. */
  readonly position: Position;
  /** Ends a write that waits. */
  readonly signal: AbortSignal;
  readonly log: (message: string) => void;
}

/**
 * Writes entries, each message with the stream sequence that it must follow: whoever wrote in between fences this writer.
 * While the server is away a write waits. One whose answer was lost is sent again under its id, and found again by it.
 */
export class StreamWriter {
  readonly #options: WriterOptions;
  readonly #id = randomUUID();
  #position: Position;
  #term: number;
  #count = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#position = options.position;
    this.#term = options.term;
  }

  get position(): Position {
    return this.#position;
  }

  get term(): number {
    return this.#term;
  }

  /** One entry, all or none. @throws FencedError, StoreFullError, StoreGoneError, StoreClosedError */
  async write(kind: EntryHead["kind"], content: Uint8Array, after: number, term = this.#term): Promise<void> {
    const pieces = splitContent(content, this.#options.stream.partBytes);
    const { last: before, snapshotAt } = this.#position;
    for (const [k, piece] of pieces.entries()) {
      const head = { kind, term, before, after, snapshotAt, part: k + 1, parts: pieces.length };
      await this.#publish(head, piece);
      this.#position = positionAfter(head, this.#position.sequence + 1);
    }
    this.#term = term;
  }

  async #publish(head: EntryHead, data: Uint8Array): Promise<void> {
    const { signal, stream, log } = this.#options;
    const id = `${this.#id}.${++this.#count}`;
    for (let attempt = 1; ; attempt++) {
      this.#assertOpen();
      let problem = "the server is away";
      if (stream.isConnected) {
        try {
          if (await this.#attempt(head, data, id)) break;
        } catch (error) {
          problem = this.#reasonToWait(error);
          await stream.assertThere();
        }
      }
      if (attempt === 1) log(`${stream.place}: an append waits: ${problem}`);
      await pause(RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }

  /** False where it is not known yet what became of it. */
  async #attempt(head: EntryHead, data: Uint8Array, msgID: string): Promise<boolean> {
    const { stream } = this.#options;
    const expected = this.#position.sequence;
    const messageHeaders = headers();
    messageHeaders.set(HEAD_HEADER, encodeHead(head));
    try {
      const { seq } = await stream.client.publish(stream.subject, data, {
        msgID,
        headers: messageHeaders,
        expect: { lastSequence: expected, streamName: stream.name },
      });
      if (seq === expected + 1) return true;
      throw new StoreDamagedError(stream.place, `put message ${expected + 1} at ${seq}`);
    } catch (error) {
      if (apiErrorCode(error) !== WRONG_LAST_SEQUENCE) throw error;
      return await this.#isOurs(expected, msgID, error);
    }
  }

  /** Something else than the expected message is last: ours, whose answer was lost, or another writer's. */
  async #isOurs(expected: number, msgID: string, cause: unknown): Promise<boolean> {
    const { stream } = this.#options;
    const next = await stream.message(expected + 1);
    if (next?.header.get("Nats-Msg-Id") === msgID) return true;
    const { last_seq } = await stream.state();
    if (!next && last_seq === expected) return false;
    if (last_seq < expected) {
      throw new StoreGoneError(stream.place, `ends at message ${last_seq}, and ${expected} was acknowledged`);
    }
    throw new FencedError(stream.place, this.#term, { cause });
  }

  /** @throws what waiting does not change. */
  #reasonToWait(error: unknown): string {
    const { place } = this.#options.stream;
    if (error instanceof FencedError || error instanceof StoreGoneError || error instanceof StoreDamagedError)
      throw error;
    const code = apiErrorCode(error);
    const message = describe(error);
    if (code !== undefined && NO_ROOM.includes(code)) {
      throw new StoreFullError(place, `does not take more: ${message}`, { cause: error });
    }
    return message;
  }

  #assertOpen(): void {
    const { signal, stream } = this.#options;
    if (signal.aborted) throw new StoreClosedError(stream.place);
    if (stream.connection.isClosed())
      throw new StoreGoneError(stream.place, "the server ended the connection for good");
  }
}
