import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ARTIFACT_RANGE_BYTES } from "../../proto/artifact-layout.ts";
import type { Bucket, BucketObject } from "./bucket.ts";
import { SourceError } from "./source.ts";

/** Broken transfers in a row, without a byte between them, after which an object counts as not to be had. */
const MAX_FAILURES = 6;

export interface ObjectFetch {
  readonly bucket: Pick<Bucket, "name" | "read">;
  readonly object: BucketObject;
  /** Collects the bytes; what a fetch that broke left in it is kept and continued. */
  readonly partialPath: string;
  readonly signal: AbortSignal;
  readonly rangeBytes?: number;
  /** Wait after the n-th broken transfer in a row. */
  readonly retryMs?: (failures: number) => number;
  readonly onBytes?: (bytes: number) => void;
  readonly onBroken?: (error: unknown, offset: number) => void;
}

/**
 * Fetches one version of an object in ranges, each on the disk before the next is asked for. The caller renames the file into place.
 *
 * @throws SourceError naming bucket and key; the signal's reason. What came stays.
 */
export async function fetchObject(fetch: ObjectFetch): Promise<void> {
  const { object, partialPath, signal, retryMs = backOff } = fetch;
  const file = await open(partialPath, "a");
  try {
    let { size } = await file.stat();
    // Of another size than any beginning of it: not its bytes.
    if (size > object.bytes) {
      await file.truncate(0);
      size = 0;
    }
    for (let failures = 0; size < object.bytes; ) {
      const before = size;
      try {
        size = await fetchRange(file, size, fetch);
        failures = 0;
      } catch (cause) {
        signal.throwIfAborted();
        size = (await file.stat()).size;
        if (cause instanceof SourceError || isLocal(cause)) throw cause;
        failures = size > before ? 1 : failures + 1;
        fetch.onBroken?.(cause, size);
        if (failures >= MAX_FAILURES) throw givenUp(fetch, size, cause as Error);
        await sleep(retryMs(failures), undefined, { signal });
      }
    }
  } finally {
    await file.close();
  }
}

async function fetchRange(file: FileHandle, begin: number, fetch: ObjectFetch): Promise<number> {
  const { bucket, object, signal, rangeBytes = ARTIFACT_RANGE_BYTES, onBytes } = fetch;
  const end = Math.min(object.bytes, begin + rangeBytes);
  let at = begin;
  for await (const chunk of bucket.read(object, { offset: begin, length: end - begin }, signal)) {
    if (at + chunk.byteLength > end)
      throw new SourceError(
        `s3://${bucket.name}/${object.key}: more than the ${end - begin} bytes came that were asked for`,
      );
    await file.appendFile(chunk);
    at += chunk.byteLength;
    onBytes?.(chunk.byteLength);
  }
  if (at < end) throw new Error(`the transfer ended ${end - at} bytes early`);
  await file.datasync();
  return at;
}

const givenUp = ({ bucket, object }: ObjectFetch, size: number, cause: Error): SourceError =>
  new SourceError(
    `s3://${bucket.name}/${object.key}: broke ${MAX_FAILURES} times at byte ${size} of ${object.bytes} (${cause.message}); what came is kept: retry the job`,
    { cause },
  );

const backOff = (failures: number): number => Math.min(10_000, 200 * 2 ** failures);

/** The disk's errors, which asking the bucket again does not mend. */
const isLocal = (error: unknown): boolean =>
  ["ENOSPC", "EDQUOT", "EROFS", "EIO", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "");
