import { printable } from "../../proto/json-text.ts";

/** Wrong use or wrong input: the command exits with 2. The message is one line that names file, field and value. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** The user pressed Ctrl-C, or the terminal went away: the command exits with 130. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  constructor(reason = "interrupted") {
    super(reason);
  }
}

/**
 * Errors of other rooms that mean wrong input, by class name. They carry file, place and reason themselves; by name, so that
 * an error that crossed a process still counts.
 */
const INPUT_ERRORS: ReadonlySet<string> = new Set([
  "InputError",
  "CheckpointError",
  "ModelError",
  "SamplesError",
  "TokenizerError",
  "PoisonError",
  "SearchInputError",
  "CertificateError",
  "CertificateFolderError",
]);

export const EXIT = { done: 0, failed: 1, wrongInput: 2, interrupted: 130 } as const;

/** Exit code for an error: 2 for wrong use or input, 130 for an interruption, else 1. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof Error)) return EXIT.failed;
  if ("exitCode" in error && typeof error.exitCode === "number") return error.exitCode;
  if (error.name === "Interrupted" || error.name === "AbortError") return EXIT.interrupted;
  return INPUT_ERRORS.has(error.name) ? EXIT.wrongInput : EXIT.failed;
}

/** One line for the user: the message, and what caused it where that adds something. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Errors about input say everything themselves; theirs would only repeat the system's words.
  const cause =
    error.cause instanceof Error &&
    !INPUT_ERRORS.has(error.name) &&
    !error.message.includes(error.cause.message)
      ? `: ${error.cause.message}`
      : "";
  return printable(`${error.message}${cause}`.replace(/\s*\n\s*/g, " ").trim());
}
