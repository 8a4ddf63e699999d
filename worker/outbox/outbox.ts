import type { Digest } from "../../proto/operations.ts";
import { decodeResultEnvelope, encodeResultEnvelope } from "../../proto/result-envelope.ts";

export interface OutboxFile {
  readonly path: string;
  readonly digest: Digest;
  readonly bytes: number;
  /** An artifact, which later operations may name; no operation names a result that is a file because of its size. */
  readonly isArtifact: boolean;
}

/** A finished operation that the coordinator has not accepted yet. */
export interface OutboxResult {
  readonly fingerprint: Digest;
  /** A `ResultEnvelope`. */
  readonly envelope: Uint8Array;
  /** Files that the envelope names by digest; they must be given to the coordinator before the envelope is sent. */
  readonly files: readonly OutboxFile[];
  /** Artifacts that nobody asks for any more when this result is accepted: the state that a training run went on from. */
  readonly replaces: readonly Digest[];
  /** False for an error that another attempt on this worker may not meet again. */
  readonly reusable: boolean;
}

interface Entry extends OutboxResult {
  leaseId: number | undefined;
  attempts: number;
  sentAt: number;
}

export interface OutboxLimits {
  readonly maxResults: number;
  readonly maxBytes: number;
  /** An unaccepted result is sent again after this time, doubled with each attempt. */
  readonly resendMs: number;
}

/**
 * Results until the coordinator's `Accepted` (DESIGN section 3): a broker's acknowledgement removes nothing. The outbox
 * takes every result (a finished operation is never thrown away), and says when it is full: the worker then asks for no
 * more leases. It lives in memory: the leases of a worker that dies go to others.
 */
export class Outbox {
  readonly #limits: OutboxLimits;
  readonly #entries = new Map<Digest, Entry>();
  #bytes = 0;

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  get results(): number {
    return this.#entries.size;
  }

  /** Bytes of envelopes and files. */
  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.#entries.size >= this.#limits.maxResults || this.#bytes >= this.#limits.maxBytes;
  }

  /** Puts a result in; an older one of the same operation gives way and is returned. */
  put(result: OutboxResult, leaseId: number | undefined, now: number): OutboxResult | undefined {
    const older = this.#remove(result.fingerprint);
    this.#entries.set(result.fingerprint, { ...result, leaseId, attempts: 0, sentAt: now });
    this.#bytes += size(result);
    return older;
  }

  /** The result of an operation that a new lease asks for again; the lease is then kept alive by it. */
  find(fingerprint: Digest, leaseId: number): OutboxResult | undefined {
    const entry = this.#entries.get(fingerprint);
    if (!entry?.reusable) return undefined;
    entry.leaseId = leaseId;
    return entry;
  }

  has(fingerprint: Digest): boolean {
    return this.#entries.has(fingerprint);
  }

  /** The coordinator has it. Returns what is dropped, so that its file can be removed. */
  accept(fingerprint: Digest): OutboxResult | undefined {
    return this.#remove(fingerprint);
  }

  /** Notes that a result is being sent, and answers how often it was before. */
  sending(fingerprint: Digest, now: number): number {
    const entry = this.#entries.get(fingerprint);
    if (!entry) return 0;
    entry.sentAt = now;
    return entry.attempts++;
  }

  /** Results that were sent and not accepted for too long. */
  overdue(now: number): OutboxResult[] {
    return [...this.#entries.values()].filter(
      (entry) =>
        now - entry.sentAt >= this.#limits.resendMs * 2 ** Math.min(6, Math.max(0, entry.attempts - 1)),
    );
  }

  all(): OutboxResult[] {
    return [...this.#entries.values()];
  }

  /** Leases whose results wait here: heartbeats renew them, so that nothing is computed twice. */
  leaseIds(): number[] {
    return [...this.#entries.values()].flatMap(({ leaseId }) => (leaseId === undefined ? [] : [leaseId]));
  }

  /** What waits comes from a worker of another id now. */
  rename(workerId: string): void {
    for (const [fingerprint, entry] of this.#entries) {
      const envelope = encodeResultEnvelope({ ...decodeResultEnvelope(entry.envelope), workerId });
      this.#bytes += envelope.byteLength - entry.envelope.byteLength;
      this.#entries.set(fingerprint, { ...entry, envelope });
    }
  }

  /** The stream ended, and its leases with it; the results stay. */
  forgetLeases(): void {
    for (const entry of this.#entries.values()) entry.leaseId = undefined;
  }

  #remove(fingerprint: Digest): Entry | undefined {
    const entry = this.#entries.get(fingerprint);
    if (!entry) return undefined;
    this.#entries.delete(fingerprint);
    this.#bytes -= size(entry);
    return entry;
  }
}

const size = ({ envelope, files }: OutboxResult): number =>
  files.reduce((sum, { bytes }) => sum + bytes, envelope.byteLength);
