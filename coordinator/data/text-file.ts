import { readFileSync, statSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { JsonLimitError, parseJson } from "../../proto/json-text.ts";
import { SamplesError, show } from "./errors.ts";

/** A line of a JSONL file that holds an object, with its number from 1. */
export interface JsonLine {
  readonly line: number;
  readonly value: Readonly<Record<string, unknown>>;
}

/** A line of a text file, with its number from 1. */
export interface TextLine {
  readonly line: number;
  readonly text: string;
}

const gzipMagic = [0x1f, 0x8b] as const;

/** Bytes of text that a file may hold, or unpack to. Node makes no longer strings. */
const largestText = 2 ** 29 - 2 ** 16;

/** How many times its size a packed file may unpack to, where that is more than `smallText`: code takes five times as much. */
const largestRatio = 50;
const smallText = 2 ** 25;

/** Characters of a line: more than any function has, and what one row may take of memory. */
const longestLine = 2 ** 24;

/**
 * The objects of a JSONL file, gzipped where its name ends in `.gz`; empty lines are skipped.
 *
 * @throws SamplesError naming file and line, where it cannot be read, is no text, has no line, or has one that is no JSON object
 */
export const readJsonLines = (file: string): JsonLine[] => [...jsonLines(file)];

/** The same one by one, so that the first bad line ends it. */
export function* jsonLines(file: string): Generator<JsonLine> {
  let count = 0;
  for (const { line, text } of textLines(file)) {
    if (text.trim() === "") continue;
    count++;
    yield { line, value: parseLine(file, line, text) };
  }
  if (count === 0) throw new SamplesError("is empty: expected one JSON object a line", { file });
}

/** The object on a line. @throws SamplesError naming file and line where there is none */
export function parseLine(file: string, line: number, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    if (cause instanceof JsonLimitError) throw new SamplesError(cause.message, { file, line }, { cause });
    const hint =
      line === 1 && /^\s*[[{]\s*$/.test(text) ? " (a JSON file over several lines is no JSONL)" : "";
    throw new SamplesError(
      `is not JSON: ${show(text.trim())}${hint}; expected one JSON object a line`,
      { file, line },
      { cause },
    );
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new SamplesError(`expected a JSON object, found ${show(value)}`, { file, line });
  }
  return value as Record<string, unknown>;
}

/** The lines of a text file, gzipped where its name ends in `.gz`. @throws SamplesError where it cannot be read or is no text */
export function* textLines(file: string): Generator<TextLine> {
  const text = readTextFile(file);
  let start = 0;
  for (let line = 1; start <= text.length; line++) {
    const found = text.indexOf("\n", start);
    const end = found < 0 ? text.length : found;
    if (end - start > longestLine)
      throw new SamplesError(`has ${end - start} characters, at most ${longestLine} are read`, {
        file,
        line,
      });
    yield { line, text: text.slice(start, end) };
    start = end + 1;
  }
}

/** Text of a file, unpacked where its name ends in `.gz`. */
function readTextFile(file: string): string {
  const bytes = unpacked(file, readBytes(file));
  if (bytes.includes(0)) throw new SamplesError("is a binary file, expected text", { file });
  return bytes.toString("utf8").replace(/^\uFEFF/, "");
}

function readBytes(file: string): Buffer {
  try {
    const found = statSync(file);
    if (found.isDirectory()) throw new Error("it is a folder");
    // One like /dev/zero has no end.
    if (found.isCharacterDevice()) throw new Error("it is a device");
    if (found.size > largestText)
      throw new Error(`it has ${found.size} bytes, at most ${largestText} are read: split it`);
    return readFileSync(file);
  } catch (cause) {
    throw cannotBeRead(file, cause);
  }
}

/** The error for a file that the system does not give. */
export function cannotBeRead(file: string, cause: unknown): SamplesError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const reasons: Readonly<Record<string, string>> = { ENOENT: "no such file", EISDIR: "it is a folder" };
  return new SamplesError(`cannot be read: ${reasons[code ?? ""] ?? message}`, { file }, { cause });
}

function unpacked(file: string, bytes: Buffer): Buffer {
  const packed = gzipMagic.every((byte, index) => bytes[index] === byte);
  if (!file.endsWith(".gz")) {
    if (packed) throw new SamplesError("is gzipped, but its name does not end in .gz", { file });
    return bytes;
  }
  if (!packed) throw new SamplesError("is not gzipped, but its name ends in .gz", { file });
  const most = Math.min(largestText, Math.max(smallText, largestRatio * bytes.length));
  try {
    return gunzipSync(bytes, { maxOutputLength: most });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE")
      throw new SamplesError(
        `unpacks from ${bytes.length} bytes to more than ${most}, which no rows do; unpack it where that is meant`,
        { file },
        { cause },
      );
    throw new SamplesError(`cannot be unpacked: ${(cause as Error).message}`, { file }, { cause });
  }
}
