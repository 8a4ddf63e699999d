import { resultEnvelopeType } from "./definition.ts";
import { isShortName, MAX_NAME_CHARACTERS, shortReason } from "./message-bounds.ts";
import type { DeviceClass, ResultEnvelopeMessage } from "./messages.ts";
import type { Digest, TensorMap } from "./operations.ts";
import { tensorMessages, tensorsFromMessages } from "./tensors.ts";

/** Tensors whose encoding is larger travel as an artifact (`encodeTensors`, then PutArtifact). */
export const MAX_INLINE_RESULT_BYTES = 512 * 1024;

/** An envelope with tensors of that size and all that is beside them; a larger one would hold more of them than any result has, at two bytes each. */
const MAX_ENVELOPE_BYTES = 2 * MAX_INLINE_RESULT_BYTES;

export type ResultOutcome =
  | { readonly kind: "tensors"; readonly tensors: TensorMap }
  /** The artifact is `encodeTensors` of the result. */
  | { readonly kind: "artifact"; readonly digest: Digest }
  | { readonly kind: "error"; readonly retryable: boolean; readonly message: string };

/** What a worker says about one operation: the same bytes on the stream and through JetStream. */
export interface ResultEnvelope {
  readonly fingerprint: Digest;
  readonly workerId: string;
  readonly deviceClass: DeviceClass;
  readonly programVersion: string;
  readonly outcome: ResultOutcome;
  /** Artifacts beside the tensors, by name, which were given with PutArtifact before. */
  readonly artifacts?: Readonly<Record<string, Digest>>;
  readonly forwards: number;
  readonly tokens: number;
  readonly seconds: number;
}

/** Bytes that hold no result envelope. */
export class MalformedEnvelopeError extends Error {
  override readonly name = "MalformedEnvelopeError";
  constructor(reason: string, options: { readonly cause?: unknown } = {}) {
    super(`malformed result envelope: ${reason}`, options);
  }
}

export function encodeResultEnvelope({ outcome, artifacts = {}, ...rest }: ResultEnvelope): Buffer {
  const named = Object.entries(artifacts).map(([name, digest]) => ({ name, digest }));
  return resultEnvelopeType.serialize({ ...rest, artifacts: named, ...outcomeMessage(outcome) });
}

/**
 * Reads an envelope; tensors may share memory with `bytes`.
 * @throws MalformedEnvelopeError where the bytes are no envelope, or a part of it is missing.
 */
export function decodeResultEnvelope(bytes: Uint8Array): ResultEnvelope {
  if (bytes.length > MAX_ENVELOPE_BYTES)
    throw new MalformedEnvelopeError(`${bytes.length} bytes, at most ${MAX_ENVELOPE_BYTES} are read`);
  let message: ResultEnvelopeMessage;
  try {
    message = resultEnvelopeType.deserialize(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  } catch (cause) {
    throw new MalformedEnvelopeError((cause as Error).message, { cause });
  }
  const { fingerprint, workerId, deviceClass, programVersion, forwards, tokens, seconds } = message;
  if (!isDigest(fingerprint)) throw new MalformedEnvelopeError(`fingerprint '${fingerprint.slice(0, 80)}'`);
  if (deviceClass === null) throw new MalformedEnvelopeError("it names no device class");
  for (const [field, text] of Object.entries({ ...deviceClass, programVersion }))
    if (typeof text === "string" && !isShortName(text))
      throw new MalformedEnvelopeError(
        `its ${field} is not at most ${MAX_NAME_CHARACTERS} printable characters`,
      );
  // They are added up: one that is no number would spoil every sum after it.
  for (const [field, value] of Object.entries({ forwards, tokens, seconds }))
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER))
      throw new MalformedEnvelopeError(`its ${field} are ${value}`);
  const outcome = outcomeOf(message);
  const artifacts = artifactsOf(message);
  return {
    ...{ fingerprint, workerId, deviceClass, programVersion, outcome, forwards, tokens, seconds },
    ...(artifacts && { artifacts }),
  };
}

function artifactsOf({ artifacts }: ResultEnvelopeMessage): Readonly<Record<string, Digest>> | undefined {
  if (artifacts.length === 0) return undefined;
  const named: Record<string, Digest> = Object.create(null);
  for (const { name, digest } of artifacts) {
    if (!isDigest(digest)) throw new MalformedEnvelopeError(`artifact '${name}' is '${digest.slice(0, 80)}'`);
    if (name in named) throw new MalformedEnvelopeError(`artifact '${name}' occurs twice`);
    named[name] = digest;
  }
  return named;
}

/** Whether a string is a lower-case hexadecimal sha256. */
export function isDigest(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

function outcomeMessage(outcome: ResultOutcome) {
  switch (outcome.kind) {
    case "tensors":
      return { outcome: "tensors", tensors: { tensors: tensorMessages(outcome.tensors) } } as const;
    case "artifact":
      return { outcome: "tensorsArtifact", tensorsArtifact: outcome.digest } as const;
    case "error":
      return { outcome: "error", error: { retryable: outcome.retryable, message: outcome.message } } as const;
  }
}

function outcomeOf(message: ResultEnvelopeMessage): ResultOutcome {
  switch (message.outcome) {
    case "tensors":
      try {
        return { kind: "tensors", tensors: tensorsFromMessages(message.tensors.tensors) };
      } catch (cause) {
        throw new MalformedEnvelopeError((cause as Error).message, { cause });
      }
    case "tensorsArtifact":
      if (!isDigest(message.tensorsArtifact)) {
        throw new MalformedEnvelopeError(`artifact '${message.tensorsArtifact.slice(0, 80)}'`);
      }
      return { kind: "artifact", digest: message.tensorsArtifact };
    case "error":
      return {
        kind: "error",
        retryable: message.error.retryable,
        message: shortReason(message.error.message),
      };
    default:
      throw new MalformedEnvelopeError("it has no outcome");
  }
}
