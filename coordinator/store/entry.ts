import { z } from "zod";
import { StoreDamagedError } from "./errors.ts";

/**
 * What a writer puts into the stream at once. An entry is one message, or several one after the other where it is larger
 * than a message may be; it counts from its last part on. Its head is in the headers of every part, so that the stream's
 * last message alone says where the log stands.
 */
export interface EntryHead {
  /** `term` begins a writer's reign and has no content; `batch` is records; `snapshot` takes the place of what is before. */
  readonly kind: "term" | "batch" | "snapshot";
  readonly term: number;
  /** Sequence of the last record before this entry, and after it. */
  readonly before: number;
  readonly after: number;
  /** Stream sequence at which the newest complete snapshot before this entry starts; 0 where there is none. */
  readonly snapshotAt: number;
  /** From 1. */
  readonly part: number;
  readonly parts: number;
}

/** A batch's content: its values. */
export const encodeBatch = (values: readonly string[]): Uint8Array =>
  new TextEncoder().encode(`[${values.join(",")}]`);

/** A snapshot's content; records only in what a restore writes, which is all or none. */
export const SnapshotContent = z.object({
  upTo: z.number(),
  snapshot: z.object({ value: z.unknown() }).optional(),
  records: z.array(z.unknown()),
});

export const encodeSnapshot = (upTo: number, snapshot: string | undefined, records: readonly string[]) =>
  new TextEncoder().encode(
    `{"upTo":${upTo},${snapshot === undefined ? "" : `"snapshot":{"value":${snapshot}},`}"records":[${records.join(",")}]}`,
  );

/** Content in pieces of at most `partBytes`; one, where it is empty. */
export function splitContent(content: Uint8Array, partBytes: number): Uint8Array[] {
  const count = Math.max(1, Math.ceil(content.length / partBytes));
  return Array.from({ length: count }, (_, k) => content.subarray(k * partBytes, (k + 1) * partBytes));
}

export const HEAD_HEADER = "Elibad-Entry";

export function encodeHead({ kind, term, before, after, snapshotAt, part, parts }: EntryHead): string {
  return [kind, term, before, after, snapshotAt, part, parts].join(" ");
}

const Count = z.coerce.number().int().nonnegative();
const Head = z.tuple([z.enum(["term", "batch", "snapshot"]), Count, Count, Count, Count, Count, Count]);

/** @throws StoreDamagedError where it is no head of an entry. */
export function decodeHead(text: string | undefined, place: string, sequence: number): EntryHead {
  const head = Head.safeParse(text?.split(" "));
  if (!head.success) throw new StoreDamagedError(place, `message ${sequence} is not of a log`);
  const [kind, term, before, after, snapshotAt, part, parts] = head.data;
  return { kind, term, before, after, snapshotAt, part, parts };
}

/** Where a log stands after a message; `sequence` is the message's place in the stream. */
export interface Position {
  /** Stream sequence of the last message; 0 in an empty stream. */
  readonly sequence: number;
  readonly term: number;
  /** Sequence of the last record. */
  readonly last: number;
  /** Stream sequence at which the newest complete snapshot starts; 0 where there is none. */
  readonly snapshotAt: number;
}

export const EMPTY: Position = { sequence: 0, term: 0, last: 0, snapshotAt: 0 };

export function positionAfter(head: EntryHead, sequence: number): Position {
  const isWhole = head.part === head.parts;
  return {
    sequence,
    term: head.term,
    last: isWhole ? head.after : head.before,
    snapshotAt: isWhole && head.kind === "snapshot" ? sequence - head.parts + 1 : head.snapshotAt,
  };
}

export interface Entry {
  readonly head: EntryHead;
  /** Parsed JSON. */
  readonly content: unknown;
}

/** Puts the parts of entries together. What a writer left unfinished when it died is dropped. */
export class EntryAssembler {
  readonly #place: string;
  #parts: Uint8Array[] = [];

  constructor(place: string) {
    this.#place = place;
  }

  /** The entry that this message completes. @throws StoreDamagedError where parts do not follow each other. */
  add(head: EntryHead, data: Uint8Array, sequence: number): Entry | undefined {
    if (head.part === 1) this.#parts = [];
    if (head.part !== this.#parts.length + 1) {
      throw new StoreDamagedError(
        this.#place,
        `message ${sequence} is part ${head.part} of an entry without those before`,
      );
    }
    this.#parts.push(data.slice());
    if (head.part < head.parts) return undefined;
    const text = Buffer.concat(this.#parts).toString("utf8");
    this.#parts = [];
    if (head.kind === "term") return { head, content: undefined };
    try {
      return { head, content: JSON.parse(text) };
    } catch (cause) {
      throw new StoreDamagedError(this.#place, `message ${sequence} does not end a JSON text`, { cause });
    }
  }
}
