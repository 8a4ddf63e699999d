import { type DestinationStream, type Logger, pino } from "pino";

export type { Logger } from "pino";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  readonly level?: LogLevel | "silent";
  /** `json`: one JSON object a line, for machines; `plain`: one line of text. */
  readonly format?: "plain" | "json";
  /** Who writes: a word or two that each line carries. */
  readonly name: string;
  readonly destination?: DestinationStream;
}

/** A log to stderr, so that stdout stays a command's own. */
export function createLogger({ level = "info", format = "plain", name, destination }: LogOptions): Logger {
  const stderr = destination ?? { write: (text: string) => void process.stderr.write(text) };
  const formatters = { level: (label: string) => ({ level: label }) };
  const options = { level, name, base: undefined, timestamp: pino.stdTimeFunctions.isoTime, formatters };
  return format === "json"
    ? pino(options, stderr)
    : pino(options, { write: (line) => stderr.write(plain(line)) });
}

/** `12:03:04.567 info  worker w1: serving (address=127.0.0.1:7411)` */
function plain(line: string): string {
  const { level, time, name, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const fields = Object.entries(rest).map(([key, value]) => `${key}=${oneLine(value)}`);
  const end = fields.length > 0 ? ` (${fields.join(", ")})` : "";
  return `${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${name}: ${oneLine(msg ?? "")}${end}\n`;
}

const oneLine = (value: unknown): string =>
  (typeof value === "string" ? value : JSON.stringify(value)).replaceAll(/\s*\n\s*/g, " ⏎ ");
