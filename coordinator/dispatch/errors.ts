import type { Digest, OperationKind } from "../../proto/operations.ts";

/** An operation that no worker could do: its search, and the command behind it, fail with this reason. */
export class OperationGivenUpError extends Error {
  override readonly name = "OperationGivenUpError";
  readonly kind: OperationKind;
  readonly fingerprint: Digest;
  readonly reason: string;

  constructor(kind: OperationKind, fingerprint: Digest, reason: string) {
    super(`operation ${kind} ${fingerprint.slice(0, 12)}: ${reason}`);
    this.kind = kind;
    this.fingerprint = fingerprint;
    this.reason = reason;
  }
}

/** An operation that does not fit into a message: its caller must split it. */
export class OperationTooLargeError extends RangeError {
  override readonly name = "OperationTooLargeError";
  constructor(kind: OperationKind, bytes: number, limit: number) {
    super(`an operation of kind ${kind} may have ${bytes} bytes, more than ${limit}: split it`);
  }
}

/** Results that a command or job was given may be wrong, since a worker that gave some was expelled: it must begin again. */
export class DistrustedResultsError extends Error {
  override readonly name = "DistrustedResultsError";
  constructor(reason: string) {
    super(`results that this was computed from may be wrong: ${reason}`);
  }
}

/** The coordinator closed while somebody waited for operations. */
export class CoordinatorClosedError extends Error {
  override readonly name = "CoordinatorClosedError";
  constructor() {
    super("the coordinator was closed");
  }
}

/** The coordinator cannot listen on, or may not use, the address that was asked for. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly address: string;
  readonly reason: string;
  /** `cause`: the system's error; absent where the address itself is not to be used. */
  constructor(address: string, reason: string, options: { readonly cause?: unknown } = {}) {
    super(`cannot listen on ${address}: ${reason}`, options);
    this.address = address;
    this.reason = reason;
  }
}

/** Bytes that are not what their digest says, or a digest that nobody has. */
export class ArtifactError extends Error {
  override readonly name = "ArtifactError";
}
