/** What the fuzz suite knows of a parser: how its inputs are made, and in what they may end. */
import type fc from "fast-check";

/** An input: bytes of files, by their names. */
export type Files = Readonly<Record<string, Uint8Array>>;

export interface Parser {
  readonly name: string;
  /** Inputs in `npm test`. */
  readonly runs: number;
  readonly inputs: fc.Arbitrary<Files>;
  /** Inputs that are too large to be committed, by what they are; each is tried once. */
  readonly extremes?: () => Readonly<Record<string, Files>>;
  /** The files are written into the folder before `parse`; the folder holds nothing else. */
  readonly onDisk?: true;
  /** Does with the input what elibad does. Throws, or rejects, with an error of `errors`. */
  parse(files: Files, folder: string): unknown;
  /** Names of the error classes that an input may end in. */
  readonly errors: readonly string[];
  /** Whether an error says that the input is no such file at all: whatever else there is to check was not reached. */
  isHeaderError(error: Error): boolean;
}

/** What every input has to keep to; a loaded machine does not change it, since both are the process's own. */
export const LIMITS = {
  /** Seconds of processor time. */
  seconds: 2,
  /** Bytes by which the process may grow. */
  bytes: 200 * 1024 ** 2,
} as const;

export const textFile = (name: string, text: string): Files => ({ [name]: Buffer.from(text) });

/** The file in a child's folder that says, as eight bytes, how many inputs of the job it has begun. */
export const PROGRESS = "progress";
