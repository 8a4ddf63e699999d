/** A function that no row can be made of. It is kept out and counted by its reason; the others go on. */
export class UnusableCodeError extends Error {
  override readonly name = "UnusableCodeError";
  /** Why, in words that are the same for every function with this fault. */
  readonly reason: string;
  /** Line of the function's own source, from 1, where it is known. */
  readonly line: number | undefined;
  /** Character of that line, from 0, where it is known. */
  readonly column: number | undefined;

  constructor(reason: string, place: { readonly line?: number; readonly column?: number } = {}) {
    super(place.line === undefined ? reason : `${reason} (line ${place.line} of the function)`);
    this.reason = reason;
    this.line = place.line;
    this.column = place.column;
  }
}
