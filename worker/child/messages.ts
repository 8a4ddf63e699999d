import type { DeviceClass } from "../../proto/messages.ts";
import type { Digest, Operation } from "../../proto/operations.ts";

/** What the supervisor tells an inference child at its start, as JSON in its first argument. */
export interface ChildOptions {
  readonly workerId: string;
  readonly programVersion: string;
  /** Folder whose files are artifacts, named by digest. */
  readonly artifactFolder: string;
  /** Folder of this worker for results that are too large for a message. */
  readonly resultFolder: string;
  readonly device: string;
  /** Intra-op threads. */
  readonly threads: number;
  /** For the engines of tests. */
  readonly engineOptions: Readonly<Record<string, unknown>>;
}

/** Supervisor → child. `ticket` names the operation between the two. */
export type ToChild =
  | {
      readonly kind: "run";
      readonly ticket: number;
      readonly fingerprint: Digest;
      readonly operation: Operation;
    }
  /** Do not begin it, if it has not begun. */
  | { readonly kind: "skip"; readonly ticket: number };

/** Encoded tensors that are too large for a message: a file that belongs to the receiver from now on. */
export interface ResultFile {
  readonly path: string;
  readonly digest: Digest;
  readonly bytes: number;
}

/** Child → supervisor. */
export type FromChild =
  | { readonly kind: "ready"; readonly deviceClass: DeviceClass }
  /** The device cannot be used; the child exits. */
  | { readonly kind: "unusable"; readonly message: string }
  | {
      readonly kind: "finished";
      readonly ticket: number;
      /** A `ResultEnvelope`: of tensors, of an error, or of a digest where `file` is there. */
      readonly envelope: Uint8Array;
      readonly file?: ResultFile;
      readonly outcome: "done" | "retryable" | "failed";
      readonly forwards: number;
      readonly tokens: number;
      readonly seconds: number;
      readonly rssBytes: number;
    };
