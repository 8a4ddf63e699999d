/** Gives one input to a parser, and says what is wrong with how that ends. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { messageOf } from "../../coordinator/cli/errors.ts";
import { type Files, LIMITS, type Parser } from "./parser.ts";
import { freshPeak, peakBytes } from "./peak-memory.ts";
import { whatRan } from "./traps.ts";

export interface Judgement {
  /** Undefined: a result, or an error that is named. */
  readonly problem: string | undefined;
  readonly isPastHeader: boolean;
  /** Of the error that it ended in. */
  readonly message?: string;
}

/** Longer than any message should be. */
const MAX_MESSAGE = 4_000;

/** The only name that a folder may have which is emptied before every input. */
export const BOX = "fuzz-box";

/** @param box path of the folder for files that this input alone has; it is removed, with all that is in it */
export async function judge(parser: Parser, files: Files, box: string): Promise<Judgement> {
  if (basename(box) !== BOX) throw new Error(`${box} is to be removed, and is not named ${BOX}`);
  const folder = join(box, "input");
  if (parser.onDisk) {
    rmSync(box, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  }
  const before = cost(freshPeak());
  let error: unknown;
  let hasFailed = false;
  try {
    await parser.parse(files, folder);
  } catch (thrown) {
    error = thrown;
    hasFailed = true;
  }
  const after = cost(peakBytes());
  const ran = whatRan();
  const problem =
    (ran === undefined ? undefined : `runs what the input says: ${ran}`) ??
    (parser.onDisk ? strayProblem(box) : undefined) ??
    costProblem(before, after) ??
    (hasFailed ? errorProblem(parser, error, { files, folder }) : undefined);
  if (!hasFailed) return { problem, isPastHeader: true };
  const isPastHeader = error instanceof Error && !parser.isHeaderError(error);
  return { problem, isPastHeader, message: error instanceof Error ? error.message : String(error) };
}

/** The folder of the input lies in one that holds nothing else. */
function strayProblem(box: string): string | undefined {
  const strays = readdirSync(box).filter((name) => name !== "input");
  return strays.length === 0 ? undefined : `writes outside of its folder: ${strays.join(", ")}`;
}

interface Cost {
  /** Of processor time. */
  readonly micros: number;
  /** The most that the process had at a time. */
  readonly bytes: number;
}

function cost(bytes: number): Cost {
  const { user, system } = process.cpuUsage();
  return { micros: user + system, bytes };
}

function costProblem(before: Cost, after: Cost): string | undefined {
  const micros = after.micros - before.micros;
  if (micros > LIMITS.seconds * 1e6) return `takes ${(micros / 1e6).toFixed(1)} s of processor time`;
  const bytes = after.bytes - before.bytes;
  return bytes > LIMITS.bytes ? `takes ${Math.round(bytes / 1024 ** 2)} MiB of memory` : undefined;
}

function errorProblem(
  { errors, onDisk }: Parser,
  error: unknown,
  { files, folder }: { readonly files: Files; readonly folder: string },
): string | undefined {
  if (!(error instanceof Error)) return `throws ${String(error)}, which is no error`;
  const told = `${error.name}: ${error.message.slice(0, 500)}`;
  if (!errors.includes(error.name)) return `ends in an error that nobody named: ${error.stack ?? told}`;
  if (error.message.trim() === "") return `ends in an error without a message: ${error.name}`;
  if (error.message.length > MAX_MESSAGE)
    return `ends in a message of ${error.message.length} characters: ${told}`;
  const shown = messageOf(error);
  if (/\p{Cc}/u.test(shown))
    return `ends in a message with control characters: ${JSON.stringify(shown.slice(0, 500))}`;
  const names = [folder, ...Object.keys(files)];
  if (onDisk && !names.some((name) => error.message.includes(name)))
    return `ends in an error that names no file: ${told}`;
  return undefined;
}
