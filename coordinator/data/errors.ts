import { printable } from "../../proto/json-text.ts";

/** Where a bad input stands: the parts that are known. */
export interface InputPlace {
  /** Path as the user gave it. */
  readonly file?: string;
  /** Line of a text file, from 1. */
  readonly line?: number;
  /** Name of the field or option. */
  readonly field?: string;
  /** What was found there. */
  readonly value?: unknown;
}

/** What is wrong with a user's files or options, and where: the message is one line. The command line exits with 2 on it. */
abstract class DataError extends Error {
  readonly place: InputPlace;

  constructor(problem: string, place: InputPlace = {}, options?: ErrorOptions) {
    super(`${describePlace(place)}${problem}`, options);
    this.place = place;
  }
}

/** A tokenizer folder is missing, broken, of an unknown kind, or does not fit the model. */
export class TokenizerError extends DataError {
  override readonly name = "TokenizerError";
}

/** A sample file is missing, empty, no JSONL, or has a row that the task cannot use. */
export class SamplesError extends DataError {
  override readonly name = "SamplesError";
}

/** A trigger cannot be put in this way, or not into this row. */
export class PoisonError extends DataError {
  override readonly name = "PoisonError";
}

function describePlace({ file, line, field, value }: InputPlace): string {
  const where = [
    file === undefined ? "" : line === undefined ? file : `${file}:${line}`,
    field === undefined ? "" : `field "${field}"${value === undefined ? "" : ` is ${show(value)}`}`,
  ].filter((part) => part !== "");
  return where.length === 0 ? "" : `${where.join(": ")}: `;
}

/** A value on one line, cut where it is long. */
export function show(value: unknown): string {
  const text = printable(JSON.stringify(value) ?? String(value));
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
