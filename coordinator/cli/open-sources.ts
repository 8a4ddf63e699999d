import { join } from "node:path";
import type { Logger } from "pino";
import type { Room } from "../http/sweep-metrics.ts";
import { BucketCache } from "../sources/bucket-cache.ts";
import { UploadStore } from "../sources/upload-store.ts";
import type { SweepsState } from "../sweep/sweep.ts";
import type { SourceStores } from "./local-sources.ts";
import { neededUploads } from "./sweep-sources.ts";

/** How often uploads are looked through for those that no job needs. */
const SWEEP_MS = 3_600_000;

export interface OpenedSources extends SourceStores {
  /** What they take of what they may take. */
  room(): Promise<Record<"uploads" | "buckets", Room>>;
  /** Uploads that no sweep names any more go now, rather than within the hour. */
  removeUnneeded(): void;
  close(): void;
}

/** Opens the folders of uploads and of buckets' files below the coordinator's own, and keeps them small. */
export async function openSources({
  folder,
  uploadBytes,
  bucketCacheBytes,
  state,
  logger,
}: {
  readonly folder: string;
  readonly uploadBytes: number;
  readonly bucketCacheBytes: number;
  readonly state: () => SweepsState;
  readonly logger: Pick<Logger, "info" | "warn">;
}): Promise<OpenedSources> {
  const log = (message: string) => logger.info(message);
  const uploads = await UploadStore.open({
    folder: join(folder, "uploads"),
    maxBytes: uploadBytes,
  });
  const buckets = await BucketCache.open({
    folder: join(folder, "buckets"),
    maxBytes: bucketCacheBytes,
    log,
  });
  const sweep = (): void => {
    uploads.sweep(neededUploads(state())).then(
      (bytes) => bytes > 0 && log(`uploads that no sweep needs have gone: ${bytes} bytes`),
      (error: Error) => logger.warn({ err: error }, "uploads that no sweep needs could not be removed"),
    );
  };
  sweep();
  const timer = setInterval(sweep, SWEEP_MS).unref();
  return {
    uploads,
    buckets,
    room: async () => ({
      uploads: { bytes: await uploads.bytes(), limit: uploadBytes },
      buckets: { bytes: await buckets.bytes(), limit: bucketCacheBytes },
    }),
    removeUnneeded: sweep,
    close: () => clearInterval(timer),
  };
}
