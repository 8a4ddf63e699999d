import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson, digestOf } from "../../proto/canonical-json.ts";
import { chooseEvictions } from "../../worker/cache/eviction.ts";
import { ownPartial } from "../../worker/cache/owner.ts";
import { Bucket } from "./bucket.ts";
import { fetchObject } from "./bucket-object.ts";
import type { BucketSettings } from "./bucket-settings.ts";
import { linkFolder } from "./linked-folder.ts";
import { type Piece, piecesOf, type Wanted } from "./pieces.ts";
import { type BucketSource, SourceError, sourceText } from "./source.ts";
import { touch } from "./touch.ts";
import { Turns } from "./turns.ts";

export interface BucketCacheOptions {
  readonly folder: string;
  /** Bytes that are kept together; what is held may be more. */
  readonly maxBytes: number;
  readonly log: (message: string) => void;
  /** Of one request; absent: 16 MiB. */
  readonly rangeBytes?: number;
}

/** A folder or file that stays until it is released. */
export interface HeldPath {
  readonly path: string;
  release(): void;
}

/**
 * Folders of buckets on the coordinator's disk, each fetched when it is wanted, and again where an object in it has changed.
 *
 * ```
 * <folder>/objects/<id>            one version of an object, whole; its time is that of the last use
 * <folder>/objects/<id>.<owner>    what came of it so far, to the process that fetches it
 * <folder>/folders/<id>/<name>     links to objects
 * ```
 */
export class BucketCache {
  readonly #options: BucketCacheOptions;
  readonly #turns = new Turns();
  /** How many hold each object, by id. */
  readonly #holders = new Map<string, number>();

  private constructor(options: BucketCacheOptions) {
    this.#options = options;
  }

  static async open(options: BucketCacheOptions): Promise<BucketCache> {
    for (const part of ["objects", "folders"]) await mkdir(join(options.folder, part), { recursive: true });
    return new BucketCache(options);
  }

  /** Brings what a source names here, and keeps it until it is released. @throws SourceError naming bucket and key; the signal's reason */
  async hold(
    source: BucketSource,
    wanted: Wanted,
    { settings, signal }: { readonly settings: BucketSettings; readonly signal: AbortSignal },
  ): Promise<HeldPath> {
    const bucket = await Bucket.open(source.bucket, settings);
    let pieces: readonly Piece[] = [];
    const release = () => {
      for (const { id } of pieces) this.#drop(id);
      pieces = [];
    };
    try {
      pieces = await piecesOf(bucket, source, wanted, { endpoint: settings.endpoint ?? "", signal });
      for (const { id } of pieces) this.#holders.set(id, (this.#holders.get(id) ?? 0) + 1);
      await this.#turns.take("room", () => this.#makeRoom(pieces, sourceText(source)));
      for (const piece of pieces) await this.#fetch(bucket, piece, signal);
      const folder = this.#folderOf(pieces);
      await linkFolder(
        folder,
        pieces.map(({ name, id }) => ({ name, target: this.#path(id) })),
      );
      return { path: wanted === "file" ? join(folder, pieces[0]!.name) : folder, release };
    } catch (error) {
      release();
      throw error;
    } finally {
      bucket.close();
    }
  }

  /** Bytes of all objects, also of those that are not whole. */
  async bytes(): Promise<number> {
    return (await this.#files()).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #drop(id: string): void {
    const left = this.#holders.get(id)! - 1;
    if (left > 0) this.#holders.set(id, left);
    else this.#holders.delete(id);
  }

  #path(file: string): string {
    return join(this.#options.folder, "objects", file);
  }

  #folderOf(pieces: readonly Piece[]): string {
    const content = canonicalJson(pieces.map(({ name, id }) => ({ name, id })));
    return join(this.#options.folder, "folders", digestOf(Buffer.from(content)));
  }

  async #fetch(bucket: Bucket, piece: Piece, signal: AbortSignal): Promise<void> {
    const { log, rangeBytes } = this.#options;
    const path = this.#path(piece.id);
    const fetchIt = async (): Promise<void> => {
      if ((await touch(path)) !== undefined) return;
      const text = `s3://${bucket.name}/${piece.key}`;
      const partialPath = await ownPartial(join(this.#options.folder, "objects"), piece.id);
      const begun = (await stat(partialPath).catch(() => undefined))?.size ?? 0;
      if (begun > 0) log(`${text}: fetching goes on at byte ${begun} of ${piece.bytes}`);
      const startedAt = performance.now();
      await fetchObject({
        bucket,
        object: piece,
        partialPath,
        signal,
        ...(rangeBytes === undefined ? {} : { rangeBytes }),
        onBroken: (error, at) =>
          log(`${text}: broke at byte ${at} (${(error as Error).message}), continuing`),
      });
      await rename(partialPath, path);
      await touch(path);
      const ms = Math.round(performance.now() - startedAt);
      log(`${text}: ${Math.max(0, piece.bytes - begun)} of ${piece.bytes} bytes fetched in ${ms} ms`);
    };
    await this.#turns.take(piece.id, fetchIt, signal);
  }

  /** Removes what was used longest ago and is not held, until there is room for these. */
  async #makeRoom(pieces: readonly Piece[], text: string): Promise<void> {
    const { maxBytes, log } = this.#options;
    const wanted = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
    if (wanted > maxBytes)
      throw new SourceError(
        `${text}: has ${wanted} bytes, more than the ${maxBytes} that files of buckets may take here`,
      );
    const files = await this.#files();
    const names = new Set(files.map(({ digest }) => digest));
    const missing = pieces.filter(({ id }) => !names.has(id)).reduce((sum, { bytes }) => sum + bytes, 0);
    const evictions = chooseEvictions(files, {
      maxBytes: maxBytes - missing,
      held: (file) => this.#holders.has(file.split(".")[0]!),
      now: Date.now(),
      graceMs: 0,
    });
    for (const { digest: file, bytes } of evictions) {
      await rm(this.#path(file), { force: true });
      log(`an object that no job holds (${bytes} bytes) went, for ${text}`);
    }
    if (evictions.length > 0) await this.#removeBrokenFolders();
  }

  async #files(): Promise<{ readonly digest: string; readonly bytes: number; readonly usedAt: number }[]> {
    const files = [];
    for (const digest of await readdir(join(this.#options.folder, "objects"))) {
      const known = await stat(this.#path(digest)).catch(() => undefined);
      if (known !== undefined) files.push({ digest, bytes: known.size, usedAt: known.atimeMs });
    }
    return files;
  }

  /** Folders with a link to nothing. */
  async #removeBrokenFolders(): Promise<void> {
    const folders = join(this.#options.folder, "folders");
    for (const folder of await readdir(folders)) {
      const names = await readdir(join(folders, folder));
      if (names.some((name) => !existsSync(join(folders, folder, name))))
        await rm(join(folders, folder), { recursive: true, force: true });
    }
  }
}
