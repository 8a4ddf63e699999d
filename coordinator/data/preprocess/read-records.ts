import { closeSync, createReadStream, openSync, readSync } from "node:fs";
import { PassThrough, pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { JSONParser } from "@streamparser/json";
import { type InputPlace, SamplesError } from "../errors.ts";
import { cannotBeRead, parseLine } from "../text-file.ts";

/** An object of a file of rows, and where it stands. */
export interface FileRecord {
  readonly place: InputPlace;
  readonly value: Readonly<Record<string, unknown>>;
}

/** Told after each piece how many bytes of a file were read so far, as they are on the disk. */
export type OnBytes = (bytes: number) => void;

/** Characters of the longest line that is read: above it the file is no file of rows. */
const longestLine = 2 ** 26;

/**
 * The objects of a JSONL file, or of a JSON file that is one list, one after the other: memory does not grow with the file. It is
 * unpacked where its name ends in `.gz`. Empty lines are skipped.
 *
 * @throws SamplesError naming file and line (or place in the list), where it cannot be read, is empty, or has something else than objects
 */
export async function* readRecords(file: string, onBytes?: OnBytes): AsyncGenerator<FileRecord> {
  const pieces = textOf(file, onBytes);
  let first = "";
  while (first.trim() === "") {
    const piece = await pieces.next();
    if (piece.done) throw new SamplesError("is empty: expected one JSON object a line", { file });
    first += piece.value;
  }
  const all = prepended(first, pieces);
  yield* first.trimStart().startsWith("[") ? listItems(file, all) : recordsOfLines(file, all);
}

/** The lines of a text file with their numbers from 1, without line breaks; a last one without text is none. */
export async function* readLines(
  file: string,
  onBytes?: OnBytes,
): AsyncGenerator<{ readonly line: number; readonly text: string }> {
  yield* linesOf(file, textOf(file, onBytes));
}

async function* prepended(first: string, rest: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first;
  yield* rest;
}

async function* recordsOfLines(file: string, pieces: AsyncGenerator<string>): AsyncGenerator<FileRecord> {
  for await (const { line, text } of linesOf(file, pieces)) {
    if (text.trim() !== "") yield { place: { file, line }, value: parseLine(file, line, text) };
  }
}

async function* linesOf(file: string, pieces: AsyncGenerator<string>) {
  let line = 0;
  let rest = "";
  for await (const piece of pieces) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop()!;
    if (rest.length > longestLine) {
      throw new SamplesError(`is longer than ${longestLine} characters`, { file, line: line + 1 });
    }
    for (const text of lines) yield { line: ++line, text };
  }
  if (rest !== "") yield { line: ++line, text: rest };
}

async function* listItems(file: string, pieces: AsyncGenerator<string>): AsyncGenerator<FileRecord> {
  const parser = new JSONParser({ paths: ["$.*"], keepStack: false });
  let found: unknown[] = [];
  parser.onValue = ({ value }) => void found.push(value);
  let index = 0;
  const items = (): FileRecord[] => {
    const taken = found;
    found = [];
    return taken.map((value) => {
      const place = { file: `${file}[${index++}]` };
      if (value !== null && typeof value === "object" && !Array.isArray(value)) {
        return { place, value: value as Record<string, unknown> };
      }
      throw new SamplesError(`expected a JSON object, found ${JSON.stringify(value)}`, place);
    });
  };
  const broken = (cause?: unknown) =>
    new SamplesError(
      `is no whole JSON list: it breaks off or is not JSON behind item ${index + found.length}`,
      { file },
      { cause },
    );
  for await (const piece of pieces) {
    try {
      parser.write(piece);
    } catch (cause) {
      throw broken(cause);
    }
    yield* items();
  }
  if (!parser.isEnded) throw broken();
  if (index === 0) throw new SamplesError("is empty: expected a list of JSON objects", { file });
}

/** Text of a file in pieces, unpacked where its name ends in `.gz`. */
async function* textOf(file: string, onBytes: OnBytes = () => undefined): AsyncGenerator<string> {
  const isPacked = requirePackedAsNamed(file);
  const source = createReadStream(file);
  const bytes = pipeline(source, isPacked ? createGunzip() : new PassThrough(), () => undefined);
  const decoder = new TextDecoder();
  try {
    for await (const piece of bytes as AsyncIterable<Buffer>) {
      if (piece.includes(0)) throw new SamplesError("is a binary file, expected text", { file });
      onBytes(source.bytesRead);
      yield decoder.decode(piece, { stream: true });
    }
    yield decoder.decode();
  } catch (cause) {
    if (cause instanceof SamplesError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code?.startsWith("Z_")) {
      throw new SamplesError(`cannot be unpacked: ${message}`, { file }, { cause });
    }
    throw cannotBeRead(file, cause);
  } finally {
    source.destroy();
  }
}

/** Whether a file is gzipped, which its name has to say too. */
function requirePackedAsNamed(file: string): boolean {
  const isPacked = firstBytes(file).equals(gzipMagic);
  if (isPacked === file.endsWith(".gz")) return isPacked;
  const problem = isPacked
    ? "is gzipped, but its name does not end in .gz"
    : "is not gzipped, but its name ends in .gz";
  throw new SamplesError(problem, { file });
}

const gzipMagic = Buffer.of(0x1f, 0x8b);

function firstBytes(file: string): Buffer {
  const bytes = Buffer.alloc(gzipMagic.length);
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, "r");
    return bytes.subarray(0, readSync(descriptor, bytes));
  } catch (cause) {
    throw cannotBeRead(file, cause);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
