import { printable } from "../../proto/json-text.ts";

/**
 * A checkpoint that is not read: broken, hostile, or of a kind that elibad does not know.
 *
 * `place` says where in the file (a byte position, a zip entry, a tensor, a field), `reason` what is wrong there.
 */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
  readonly file: string;
  readonly place: string;
  readonly reason: string;

  constructor(file: string, place: string, reason: string, options?: ErrorOptions) {
    super(`${file}: ${place}: ${reason}`, options);
    this.file = file;
    this.place = place;
    this.reason = reason;
  }
}

/** Text of a file in a message: quoted, without control characters, never long. */
export function quoted(text: string): string {
  return printable(JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text));
}

/** Passes a `CheckpointError` on and makes one of anything else. */
export function asCheckpointError(error: unknown, file: string, place: string): CheckpointError {
  if (error instanceof CheckpointError) return error;
  return new CheckpointError(file, place, error instanceof Error ? error.message : String(error), {
    cause: error,
  });
}
