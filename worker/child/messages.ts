import type { DeviceClass } from "../../proto/messages.ts";
import type { Digest, Operation, ProgramForm, TensorMap } from "../../proto/operations.ts";
import type { DeviceName } from "../device-names.ts";
import type { FormName } from "../form-names.ts";

/** What the supervisor tells an inference child at its start, as JSON in its first argument. */
export interface ChildOptions {
  /** Folder whose files are artifacts, named by digest. */
  readonly artifactFolder: string;
  /** Folder of this worker for results that are too large for a message. */
  readonly resultFolder: string;
  /** Results above this go into a file. */
  readonly maxInlineBytes: number;
  readonly device: DeviceName;
  readonly form: FormName;
  /** What an earlier child of this worker found: the same device is not checked again. Absent: there was none. */
  readonly found?: ReadyDevice;
  /** Intra-op threads. */
  readonly threads: number;
  /** For the engines of tests. */
  readonly engineOptions: Readonly<Record<string, unknown>>;
}

export interface Run {
  /** Names the operation between supervisor and child. */
  readonly ticket: number;
  readonly operation: Operation;
}

/** Supervisor → child. */
export type ToChild =
  | { readonly kind: "run"; readonly runs: readonly Run[] }
  /** Do not begin it, if it has not begun. */
  | { readonly kind: "skip"; readonly ticket: number };

/** Tensors encoded as a `Tensors` message, in a file that belongs to the receiver from now on. */
export interface ResultFile {
  readonly path: string;
  readonly digest: Digest;
  readonly bytes: number;
}

/** An artifact of the result, in a file that belongs to the receiver. */
export interface NamedFile extends ResultFile {
  readonly name: string;
}

export type ChildOutcome =
  | { readonly kind: "tensors"; readonly tensors: TensorMap }
  | { readonly kind: "file"; readonly file: ResultFile }
  | { readonly kind: "error"; readonly retryable: boolean; readonly message: string };

export interface Answer {
  readonly ticket: number;
  readonly outcome: ChildOutcome;
  /** Artifacts beside the tensors. */
  readonly artifacts: readonly NamedFile[];
  readonly forwards: number;
  readonly tokens: number;
  readonly seconds: number;
}

/** The device as it is really used, not as it was asked for. */
export interface ReadyDevice {
  readonly deviceClass: DeviceClass;
  /** Operators of its programs that another provider computes: "Add on CPUExecutionProvider". */
  readonly elsewhere: readonly string[];
  /** Forms of programs that are right on it. */
  readonly forms: readonly ProgramForm[];
}

/** Child → supervisor. */
export type FromChild =
  | { readonly kind: "ready"; readonly device: ReadyDevice }
  /** The device cannot be used; the child exits. */
  | { readonly kind: "unusable"; readonly message: string }
  /** A part of a long operation is done: the child is not silent. */
  | { readonly kind: "part-done" }
  | { readonly kind: "finished"; readonly answers: readonly Answer[]; readonly rssBytes: number };
