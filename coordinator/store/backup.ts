import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { z } from "zod";
import { JsonLimitError, parseJson as parseText } from "../../proto/json-text.ts";
import { StoreDamagedError } from "./errors.ts";
import type { History, Log, LogRecord, RestorableLog } from "./log.ts";

/**
 * A backup is JSON lines: a head, perhaps a snapshot, the records after it in order, and an end that says how many lines are
 * before it and what their bytes' sha256 is.
 */
const Head = z.strictObject({ elibad: z.literal("backup"), layout: z.literal(1), term: z.number().int() });
const Snapshot = z.strictObject({ upTo: z.number().int(), snapshot: z.unknown() });
const RecordLine = z.strictObject({ sequence: z.number().int(), value: z.unknown() });
const End = z.strictObject({ lines: z.number().int(), sha256: z.string() });

/** Writes all that a log holds into one file, which appears whole or not at all. The log goes on meanwhile. */
export async function backup(log: Pick<Log, "term" | "replay">, file: string): Promise<void> {
  const aside = `${file}.${process.pid}.new`;
  try {
    const handle = await open(aside, "wx");
    try {
      await writeLines(log, handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, file);
  } finally {
    await rm(aside, { force: true });
  }
}

async function writeLines(log: Pick<Log, "term" | "replay">, handle: FileHandle): Promise<void> {
  const hash = createHash("sha256");
  let lines = 0;
  const write = async (value: unknown) => {
    const line = `${JSON.stringify(value)}\n`;
    hash.update(line);
    lines++;
    await handle.appendFile(line);
  };
  await write({ elibad: "backup", layout: 1, term: log.term } satisfies z.infer<typeof Head>);
  for await (const entry of log.replay()) {
    if (entry.kind === "snapshot") await write({ upTo: entry.upTo, snapshot: entry.value });
    else await write({ sequence: entry.sequence, value: entry.value });
  }
  const end: z.infer<typeof End> = { lines, sha256: hash.digest("hex") };
  await handle.appendFile(`${JSON.stringify(end)}\n`);
}

/**
 * Makes an empty log hold what a backup holds, all or none; sequences stay, and the term rises above the backup's.
 * @throws StoreDamagedError where the backup was cut or changed, before anything is written.
 */
export async function restore(file: string, target: RestorableLog): Promise<void> {
  await target.adopt(await readBackup(file));
}

/** Reads and checks a backup. @throws StoreDamagedError naming its line. */
export async function readBackup(file: string): Promise<History> {
  const lines = await checkedLines(file);
  const head = parseLine(Head, lines[0], file, 1);
  const second = Snapshot.safeParse(lines[1]);
  const snapshot = second.success ? second.data : undefined;
  const upTo = snapshot?.upTo ?? 0;
  const start = snapshot ? 2 : 1;
  const records = lines.slice(start).map((line, k): LogRecord => {
    const { sequence, value } = parseLine(RecordLine, line, file, start + k + 1);
    if (sequence === upTo + 1 + k) return { sequence, value };
    throw new StoreDamagedError(
      file,
      `line ${start + k + 1}: sequence ${sequence} instead of ${upTo + 1 + k}`,
    );
  });
  return { term: head.term, upTo, ...(snapshot && { snapshot: { value: snapshot.snapshot } }), records };
}

/** All lines but the end, parsed. */
async function checkedLines(file: string): Promise<unknown[]> {
  const hash = createHash("sha256");
  const parsed: unknown[] = [];
  let held: string | undefined;
  for await (const line of linesOf(file)) {
    if (held !== undefined) {
      hash.update(`${held}\n`);
      parsed.push(parseJson(held, file, parsed.length + 1));
    }
    held = line;
  }
  const end = End.safeParse(held === undefined ? undefined : parseJson(held, file, parsed.length + 1));
  if (!end.success || end.data.lines !== parsed.length) {
    throw new StoreDamagedError(file, "is cut: its last line does not say how many are before it");
  }
  if (end.data.sha256 !== hash.digest("hex")) {
    throw new StoreDamagedError(file, "is not what was written: its sha256 is another one");
  }
  return parsed;
}

/** Ended by a line feed alone: what else ends a line elsewhere, such as U+2028, may stand in a text of a record. */
async function* linesOf(file: string): AsyncGenerator<string> {
  let begun: string[] = [];
  for await (const chunk of createReadStream(file, "utf8")) {
    const [first, ...others] = (chunk as string).split("\n");
    begun.push(first!);
    for (const next of others) {
      yield begun.join("");
      begun = [next];
    }
  }
  const rest = begun.join("");
  if (rest !== "") yield rest;
}

function parseJson(line: string, file: string, number: number): unknown {
  try {
    // Values are not counted: a snapshot has all that a log holds.
    return parseText(line, { values: Number.POSITIVE_INFINITY });
  } catch (cause) {
    const problem = cause instanceof JsonLimitError ? cause.message : "is not JSON";
    throw new StoreDamagedError(file, `line ${number} ${problem}: the backup is cut or was changed`, {
      cause,
    });
  }
}

function parseLine<T>(schema: z.ZodType<T>, line: unknown, file: string, number: number): T {
  const parsed = schema.safeParse(line);
  if (!parsed.success) throw new StoreDamagedError(file, `line ${number} is not a line of a backup`);
  return parsed.data;
}
