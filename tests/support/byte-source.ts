import { digestOf } from "../../proto/canonical-json.ts";
import type { Digest } from "../../proto/operations.ts";
import type { ArtifactSource } from "../../worker/cache/download.ts";
import { ArtifactMissingError } from "../../worker/cache/errors.ts";

/** A source of artifacts in memory, which writes down the ranges it was asked for and breaks where told to. */
export class ByteSource implements ArtifactSource {
  readonly name = "memory";
  readonly ranges: { digest: Digest; offset: number; length: number }[] = [];
  readonly #bytes = new Map<Digest, Uint8Array>();
  readonly #chunkBytes: number;
  /** Throws after so many bytes of one range, once per entry. */
  readonly breaksAfter: number[] = [];
  /** Resolves before any range is answered. */
  gate: Promise<void> = Promise.resolve();

  constructor(chunkBytes = 1000) {
    this.#chunkBytes = chunkBytes;
  }

  put(bytes: Uint8Array, digest = digestOf(bytes)): Digest {
    this.#bytes.set(digest, bytes);
    return digest;
  }

  async *read(digest: Digest, range: { offset: number; length: number }, signal: AbortSignal) {
    this.ranges.push({ digest, ...range });
    await this.gate;
    signal.throwIfAborted();
    const bytes = this.#bytes.get(digest);
    if (!bytes) throw new ArtifactMissingError(digest);
    const breakAfter = this.breaksAfter.shift() ?? Number.POSITIVE_INFINITY;
    const end = Math.min(bytes.length, range.offset + range.length);
    for (let at = range.offset; at < end; at += this.#chunkBytes) {
      if (at - range.offset >= breakAfter) throw new Error("the line broke");
      yield { data: bytes.subarray(at, Math.min(end, at + this.#chunkBytes)), totalBytes: bytes.length };
    }
  }
}
