import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { ARTIFACT_RANGE_BYTES } from "../../proto/artifact-layout.ts";
import type { Digest } from "../../proto/operations.ts";
import { isDigest } from "../../proto/result-envelope.ts";
import { linkFolder } from "./linked-folder.ts";
import { SourceError, sourceText } from "./source.ts";
import { touch } from "./touch.ts";
import { Turns } from "./turns.ts";
import { MAX_MANIFEST_BYTES, parseManifest, type UploadManifest } from "./upload-manifest.ts";

/** A client sent what cannot be taken. */
export class UploadError extends Error {
  override readonly name = "UploadError";
}

/** There is no room for it. */
export class UploadRoomError extends Error {
  override readonly name = "UploadRoomError";
}

export interface UploadStoreOptions {
  readonly folder: string;
  /** Bytes of all uploads together. */
  readonly maxBytes: number;
  /** What no sweep needs goes when nobody asked for it for so long: its sweep may be about to be submitted. */
  readonly keepMs?: number;
}

/** How much of a file is here. A file of no bytes is whole only once it was sent. */
export interface Holding {
  readonly bytes: number;
  readonly isWhole: boolean;
}

const DAY_MS = 24 * 3_600_000;

/**
 * Files that clients sent, by digest.
 *
 * ```
 * <folder>/files/<digest>              whole and checked; its time is when it was asked for last
 * <folder>/partial/<digest>            what came of it so far
 * <folder>/folders/<digest>/<name>     links to files, as the manifest of that digest names them
 * ```
 */
export class UploadStore {
  readonly #options: UploadStoreOptions;
  readonly #turns = new Turns();

  private constructor(options: UploadStoreOptions) {
    this.#options = options;
  }

  static async open(options: UploadStoreOptions): Promise<UploadStore> {
    for (const part of ["files", "partial", "folders"])
      await mkdir(join(options.folder, part), { recursive: true });
    return new UploadStore(options);
  }

  /** How much of a file is here, which keeps it for a while. @throws UploadError where it is no digest */
  async holding(digest: Digest): Promise<Holding> {
    requireDigest(digest);
    for (const part of ["files", "partial"] as const) {
      const bytes = await touch(this.#path(part, digest));
      if (bytes !== undefined) return { bytes, isWhole: part === "files" };
    }
    return { bytes: 0, isWhole: false };
  }

  /**
   * Takes a range of a file, at most 16 MiB, that begins where the last one ended; one that begins elsewhere changes nothing. What came of a
   * range that broke off stays. The last range is answered once the digest is found right.
   *
   * @returns how much is here then
   * @throws UploadError where the bytes are not those of the digest, or too many; nothing of the file is left then. UploadRoomError
   */
  append(
    {
      digest,
      totalBytes,
      offset,
    }: { readonly digest: Digest; readonly totalBytes: number; readonly offset: number },
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<Holding> {
    requireDigest(digest);
    return this.#turns.take(digest, async () => {
      const here = await this.holding(digest);
      if (here.isWhole || here.bytes !== offset) return here;
      if (offset > totalBytes)
        throw new UploadError(`range from ${offset} of ${digest}: behind the end of its ${totalBytes} bytes`);
      await this.#requireRoom(totalBytes - offset);
      const partial = this.#path("partial", digest);
      const file = await open(partial, "a");
      try {
        await appendAll(file, chunks, Math.min(totalBytes - offset, ARTIFACT_RANGE_BYTES));
      } catch (error) {
        throw (error as NodeJS.ErrnoException).code === "ENOSPC"
          ? new UploadRoomError(
              `the coordinator's disk is full, at ${this.#options.folder}: make room there and submit again, which goes on where it was`,
            )
          : error;
      } finally {
        await file.close();
      }
      const { size: bytes } = await stat(partial);
      if (bytes < totalBytes) return { bytes, isWhole: false };
      await this.#check(digest, partial);
      await rename(partial, this.#path("files", digest));
      return this.holding(digest);
    });
  }

  /**
   * The folder of what a manifest names.
   * @throws SourceError where some of it is not here
   */
  async folderOf(manifest: Digest): Promise<string> {
    const { files } = await this.#manifest(manifest);
    for (const { name, digest, bytes } of files) {
      const found = await this.holding(digest);
      if (!found.isWhole || found.bytes !== bytes)
        throw notWhole(
          manifest,
          `'${name}' is not there: ${found.isWhole ? 0 : found.bytes} of ${bytes} bytes`,
        );
    }
    const folder = this.#path("folders", manifest);
    await linkFolder(
      folder,
      files.map(({ name, digest }) => ({ name, target: this.#path("files", digest) })),
    );
    return folder;
  }

  /** The names that a manifest gives to files. */
  async namesIn(manifest: Digest): Promise<string[]> {
    return (await this.#manifest(manifest)).files.map(({ name }) => name);
  }

  /** Removes what none of these manifests names and nobody asked for lately; answers how many bytes that were. */
  async sweep(needed: Iterable<Digest>): Promise<number> {
    const kept = new Set<string>();
    for (const digest of needed) {
      kept.add(digest);
      const manifest = await this.#manifest(digest).catch(() => undefined);
      for (const file of manifest?.files ?? []) kept.add(file.digest);
    }
    const since = Date.now() - (this.#options.keepMs ?? DAY_MS);
    let freed = 0;
    for (const part of ["files", "partial"] as const) {
      for (const name of await readdir(this.#path(part))) {
        if (kept.has(name)) continue;
        freed += await this.#turns.take(name, () => this.#removeOlder(this.#path(part, name), since));
      }
    }
    for (const name of await readdir(this.#path("folders"))) {
      if (!existsSync(this.#path("files", name)))
        await rm(this.#path("folders", name), { recursive: true, force: true });
    }
    return freed;
  }

  async #removeOlder(path: string, since: number): Promise<number> {
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || found.atimeMs > since) return 0;
    await rm(path, { force: true });
    return found.size;
  }

  async #manifest(digest: Digest): Promise<UploadManifest> {
    const { bytes, isWhole } = await this.holding(digest);
    if (!isWhole) throw notWhole(digest, "its manifest is not there");
    if (bytes > MAX_MANIFEST_BYTES)
      throw notWhole(digest, `a manifest has at most ${MAX_MANIFEST_BYTES} bytes`);
    return parseManifest(await readFile(this.#path("files", digest)), uploadText(digest));
  }

  /** Bytes of all uploads, also of those that are not whole. */
  async bytes(): Promise<number> {
    let used = 0;
    for (const part of ["files", "partial"] as const)
      for (const name of await readdir(this.#path(part)))
        used += (await stat(this.#path(part, name)).catch(() => undefined))?.size ?? 0;
    return used;
  }

  async #requireRoom(more: number): Promise<void> {
    const used = await this.bytes();
    const { maxBytes } = this.#options;
    if (used + more > maxBytes)
      throw new UploadRoomError(
        `uploads take ${used} of the ${maxBytes} bytes that they may take: no room for ${more} more; what no sweep needs goes after a day`,
      );
  }

  async #check(digest: Digest, partial: string): Promise<void> {
    const hash = createHash("sha256");
    await pipeline(createReadStream(partial, { highWaterMark: 1024 ** 2 }), hash);
    const actual = hash.digest("hex");
    if (actual === digest) return;
    await rm(partial, { force: true });
    throw new UploadError(
      `the bytes sent as ${digest} are those of ${actual}: did the file change meanwhile?`,
    );
  }

  #path(part: "files" | "partial" | "folders", name = ""): string {
    return join(this.#options.folder, part, name);
  }
}

/** Appends what comes. Where that breaks off or is too much, what came up to there stays. */
async function appendAll(file: FileHandle, chunks: AsyncIterable<Uint8Array>, most: number): Promise<void> {
  let left = most;
  try {
    for await (const chunk of chunks) {
      if (chunk.byteLength > left) throw new UploadError(`a range of more than ${most} bytes`);
      await file.appendFile(chunk);
      left -= chunk.byteLength;
    }
  } finally {
    await file.datasync();
  }
}

function requireDigest(digest: string): void {
  if (!isDigest(digest)) throw new UploadError(`'${digest.slice(0, 80)}' is no sha256 digest`);
}

const uploadText = (manifest: Digest): string => sourceText({ kind: "upload", manifest });

const notWhole = (manifest: Digest, reason: string): SourceError =>
  new SourceError(`${uploadText(manifest)}: ${reason}; send it again with elibad sweep submit --upload`);
