import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ARTIFACT_RANGE_BYTES } from "../../proto/artifact-layout.ts";
import type { Digest } from "../../proto/operations.ts";
import { ArtifactCorruptError, ArtifactMissingError } from "./errors.ts";

export interface ArtifactChunk {
  readonly data: Uint8Array;
  /** Size of the whole artifact. */
  readonly totalBytes: number;
}

/** Where artifacts come from: the coordinator's `FetchArtifact`, or a folder of bytes in tests. */
export interface ArtifactSource {
  /** Shown in errors. */
  readonly name: string;
  /**
   * Bytes in order from `offset`, at most `length` of them.
   * @throws ArtifactMissingError where the source does not know the digest, ArtifactCorruptError where `offset` is beyond its
   *   end; anything else counts as a broken transfer.
   */
  read(
    digest: Digest,
    range: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): AsyncIterable<ArtifactChunk>;
}

export interface DownloadOptions {
  readonly digest: Digest;
  /** File that collects the bytes; what a former, broken download left in it is kept and continued. */
  readonly partialPath: string;
  readonly source: ArtifactSource;
  readonly signal: AbortSignal;
  readonly rangeBytes?: number;
  /** Wait after the n-th broken transfer in a row. */
  readonly retryMs?: (failures: number) => number;
  readonly onBytes?: (bytes: number) => void;
  readonly onBroken?: (error: unknown, offset: number) => void;
}

const backOff = (failures: number): number => Math.min(2_000, 50 * 2 ** failures) * (0.5 + Math.random() / 2);

/**
 * Fetches an artifact into `partialPath` in ranges, continuing after broken transfers until `signal` aborts, and
 * checks its digest. The caller renames the file into place.
 *
 * @returns its size in bytes.
 * @throws ArtifactCorruptError (the file is emptied), ArtifactMissingError, or the signal's reason.
 */
export async function download(options: DownloadOptions): Promise<number> {
  const file = await open(options.partialPath, "a+");
  try {
    // One byte is given up, so that a download which broke after its last byte asks for something and learns the size.
    const resumedAt = Math.max(0, (await file.stat()).size - 1);
    await file.truncate(resumedAt);
    try {
      return await collect(file, resumedAt, options);
    } catch (error) {
      if (!(error instanceof ArtifactCorruptError)) throw error;
      await file.truncate(0);
      // What was there before may be the culprit; bytes that all came from the source just now are not asked for twice.
      if (resumedAt === 0) throw error;
      return await collect(file, 0, options);
    }
  } finally {
    await file.close();
  }
}

async function collect(file: FileHandle, resumedAt: number, options: DownloadOptions): Promise<number> {
  const { digest, source, signal, rangeBytes = ARTIFACT_RANGE_BYTES, retryMs = backOff } = options;
  const hash = await hashOfPrefix(options.partialPath, resumedAt);
  let offset = resumedAt;
  let total = Number.POSITIVE_INFINITY;
  let failures = 0;
  do {
    const length = Math.min(rangeBytes, total - offset);
    let progressed = false;
    try {
      for await (const { data, totalBytes } of source.read(digest, { offset, length }, signal)) {
        await file.appendFile(data);
        hash.update(data);
        offset += data.byteLength;
        total = totalBytes;
        progressed = true;
        options.onBytes?.(data.byteLength);
      }
      // Only an artifact of 0 bytes may come without any chunk.
      if (!progressed && offset === 0) total = 0;
      else if (!progressed) throw new Error("the transfer ended early");
      failures = 0;
    } catch (error) {
      signal.throwIfAborted();
      if (isFinal(error)) throw error;
      options.onBroken?.(error, offset);
      failures = progressed ? 1 : failures + 1;
      await sleep(retryMs(failures), undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  } while (offset < total);

  const actual = hash.digest("hex");
  if (actual !== digest) throw new ArtifactCorruptError(digest, source.name, `has digest ${actual}`);
  return offset;
}

async function hashOfPrefix(path: string, bytes: number): Promise<Hash> {
  const hash = createHash("sha256");
  if (bytes === 0) return hash;
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20, end: bytes - 1 })) {
    hash.update(piece as Buffer);
  }
  return hash;
}

/** Errors that asking again does not mend. */
const isFinal = (error: unknown): boolean =>
  error instanceof ArtifactMissingError ||
  error instanceof ArtifactCorruptError ||
  ["ENOSPC", "EDQUOT", "EROFS", "EIO", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "");
