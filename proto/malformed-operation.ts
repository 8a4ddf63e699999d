/** A message that is not an operation. */
export class MalformedOperationError extends Error {
  override readonly name = "MalformedOperationError";
  constructor(reason: string) {
    super(`malformed operation: ${reason}`);
  }
}
