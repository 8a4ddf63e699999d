/**
 * An operation that gave no result. `retryable` is true where another worker may succeed (out of memory, a lost
 * artifact), false where no worker can (bad input): its job then fails with this message.
 */
export class OperationFailed extends Error {
  override readonly name = "OperationFailed";
  readonly retryable: boolean;

  constructor(message: string, options: { readonly retryable?: boolean; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.retryable = options.retryable ?? false;
  }
}
