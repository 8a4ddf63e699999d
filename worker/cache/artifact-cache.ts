import { randomUUID } from "node:crypto";
import { lstat, mkdir, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Digest } from "../../proto/operations.ts";
import { assertDigest, DigestSchema } from "./digest.ts";
import type { ArtifactSource } from "./download.ts";
import { chooseEvictions } from "./eviction.ts";
import { readManifest } from "./manifest.ts";
import { isInPlace, isSame, type ModelsVolume, noteSameness } from "./models-volume.ts";
import { ownerName } from "./owner.ts";
import { type SharedFolder, Transfers } from "./transfers.ts";

export interface CacheOptions {
  readonly folder: string;
  /** Bound on the artifacts' bytes together. */
  readonly maxBytes: number;
  readonly source: ArtifactSource;
  /** A volume of models that the coordinator sees, too; its files are linked to. */
  readonly models?: ModelsVolume;
  readonly log?: (message: string) => void;
  /** Artifacts fetched at the same time. */
  readonly parallel?: number;
  /** How long after its last use an artifact is safe from eviction, whoever used it. */
  readonly graceMs?: number;
  readonly now?: () => number;
}

export interface CacheCounts {
  readonly bytes: number;
  readonly artifacts: number;
  readonly hits: number;
  readonly misses: number;
  readonly fetchedBytes: number;
}

/** What an operation reads: its checkpoint with all files, and further artifacts (samples, vocabulary, weights). */
export interface Needs {
  readonly checkpoint: Digest;
  readonly others: readonly Digest[];
}

/** Artifacts kept for one operation until `release`. */
export interface Hold {
  /** Resolves when all are in the cache; undefined where they were already, so that the operation need not wait a turn. */
  readonly ready: Promise<void> | undefined;
  release(): void;
}

const TOUCH_MS = 10_000;

/**
 * Artifacts by digest in a folder, shared by the workers of a machine.
 *
 * ```
 * <folder>/artifacts/<digest>                  whole and checked
 * <folder>/used/<digest>                       its time is that of the last use (the artifact may be someone's hard link), its text who used it
 * <folder>/in-place/<digest>                   of an artifact that is a link to a volume of models: which file its digest was found right in
 * <folder>/checkpoints/<digest>                marks a manifest whose files were all here
 * <folder>/partial/<digest>.<host>.<pid>       being fetched by that process; with a further part, taken in by it
 * ```
 */
export class ArtifactCache {
  readonly #options: Required<Omit<CacheOptions, "log" | "models">> & Pick<CacheOptions, "log" | "models">;
  readonly #entries = new Map<Digest, { bytes: number; usedAt: number }>();
  readonly #checkpointFiles = new Map<Digest, readonly Digest[]>();
  readonly #manifests = new Map<Digest, Promise<readonly Digest[]>>();
  readonly #holders = new Map<Digest, number>();
  readonly #transfers: Transfers;
  /** Tells this worker from others of the folder. */
  readonly #name = `${ownerName}.${randomUUID()}`;
  #hits = 0;
  #misses = 0;

  private constructor(options: CacheOptions) {
    this.#options = { parallel: 4, graceMs: 60_000, now: Date.now, ...options };
    const { folder, source, parallel, log } = this.#options;
    this.#transfers = new Transfers({
      partialFolder: join(folder, "partial"),
      source,
      parallel,
      pathOf: (digest) => this.path(digest),
      models: this.#options.models,
      arrived: async (digest) => {
        if (await isInPlace(this.path(digest))) await noteSameness(this.path(digest), this.#note(digest));
        await this.#touch(digest);
        await this.#evict();
      },
      log,
    });
  }

  /** Opens a cache folder, making it where it is missing, and learns what it holds. */
  static async open(options: CacheOptions): Promise<ArtifactCache> {
    const cache = new ArtifactCache(options);
    for (const part of ["artifacts", "used", "in-place", "checkpoints", "partial"]) {
      await mkdir(join(options.folder, part), { recursive: true });
    }
    await cache.#scan();
    return cache;
  }

  /** Where an artifact lies, or will lie. */
  path(digest: Digest): string {
    return join(this.#options.folder, "artifacts", assertDigest(digest));
  }

  #note(digest: Digest): string {
    return join(this.#options.folder, "in-place", digest);
  }

  counts(): CacheCounts {
    let bytes = 0;
    for (const entry of this.#entries.values()) bytes += entry.bytes;
    return {
      bytes,
      artifacts: this.#entries.size,
      hits: this.#hits,
      misses: this.#misses,
      fetchedBytes: this.#transfers.fetchedBytes,
    };
  }

  /** Manifest digests of the checkpoints whose files are all in the cache. */
  async cachedCheckpoints(): Promise<Digest[]> {
    const complete: Digest[] = [];
    const marked = await readdir(join(this.#options.folder, "checkpoints"));
    for (const name of new Set([...marked, ...this.#checkpointFiles.keys()])) {
      if (!DigestSchema.safeParse(name).success || !this.#entries.has(name)) continue;
      const files = await this.#filesOf(name).catch(() => undefined);
      if (files?.every((file) => this.#entries.has(file))) complete.push(name);
    }
    return complete.sort();
  }

  /**
   * The coordinator's hint that its artifact folder may be on a volume that this worker sees: true where the
   * file `nonce-<nonce>` is found there. Artifacts are then taken from the folder first.
   */
  useSharedFolder(folder: string, nonce: string): Promise<boolean> {
    return this.#transfers.useSharedFolder(folder, nonce);
  }

  /** Undefined where the coordinator's folder is not seen. */
  get sharedFolder(): SharedFolder | undefined {
    return this.#transfers.sharedFolder;
  }

  /**
   * Takes in a file that was made here and whose digest is known: as a hard link, or not at all, since it can be fetched like any other.
   * The file must not be changed any more.
   */
  async adopt(digest: Digest, path: string): Promise<void> {
    try {
      await this.#transfers.place(digest, path);
    } catch (error) {
      this.#options.log?.(`artifact ${digest.slice(0, 12)} is not kept: ${(error as Error).message}`);
    }
  }

  /** Keeps the artifacts of an operation and fetches what is missing. `ready` rejects where one cannot be had. */
  hold(needs: Needs): Hold {
    const held = new Set<Digest>();
    const release = () => {
      for (const digest of held) this.#drop(digest);
      held.clear();
    };
    const keep = (digest: Digest): Promise<void> | undefined => {
      if (held.has(digest)) return undefined;
      held.add(digest);
      return this.#keep(digest);
    };
    const checkpoint = keep(needs.checkpoint);
    const others = needs.others.map(keep);
    const known = checkpoint === undefined ? this.#checkpointFiles.get(needs.checkpoint) : undefined;
    const pending = [...others, ...(known?.map(keep) ?? [])].filter((promise) => promise !== undefined);
    if (known)
      return { ready: pending.length === 0 ? undefined : Promise.all(pending).then(() => {}), release };

    const files = async () => {
      await checkpoint;
      const names = await this.#filesOf(needs.checkpoint);
      await Promise.all(names.map(keep));
      this.#markCheckpoint(needs.checkpoint);
    };
    return { ready: settled([...pending, files()]), release };
  }

  /** Removes an artifact that is not asked for any more; one that an operation here holds stays, as does one that another worker of the folder used last. */
  async forget(digest: Digest): Promise<void> {
    if (!this.#entries.has(digest) || this.#holders.has(digest)) return;
    const user = await readFile(join(this.#options.folder, "used", digest), "utf8").catch(() => this.#name);
    if (user === this.#name) await this.#remove(digest);
  }

  /** Ends all transfers; what came so far stays for the next process. */
  close(): void {
    this.#transfers.close();
  }

  #keep(digest: Digest): Promise<void> | undefined {
    this.#holders.set(digest, (this.#holders.get(digest) ?? 0) + 1);
    const entry = this.#entries.get(digest);
    if (entry) {
      this.#hits++;
      if (this.#options.now() - entry.usedAt < TOUCH_MS) return undefined;
      return this.#touch(digest).then((there) => (there ? undefined : this.#transfers.fetch(digest)));
    }
    this.#misses++;
    return this.#transfers.fetch(digest);
  }

  #drop(digest: Digest): void {
    const left = (this.#holders.get(digest) ?? 1) - 1;
    if (left > 0) {
      this.#holders.set(digest, left);
      return;
    }
    this.#holders.delete(digest);
    this.#transfers.abandon(digest);
  }

  /** Read once for all operations that wait for a checkpoint, so that they become ready together and keep their order. */
  #filesOf(checkpoint: Digest): Promise<readonly Digest[]> {
    const running = this.#manifests.get(checkpoint);
    if (running) return running;
    const files = readManifest(this.path(checkpoint), checkpoint)
      .then((manifest) => {
        const digests = manifest.files.map((file) => file.digest);
        this.#checkpointFiles.set(checkpoint, digests);
        return digests;
      })
      .finally(() => this.#manifests.delete(checkpoint));
    this.#manifests.set(checkpoint, files);
    return files;
  }

  #markCheckpoint(checkpoint: Digest): void {
    // Only the next process misses the mark.
    writeFile(join(this.#options.folder, "checkpoints", checkpoint), "").catch(() => {});
  }

  /** Renews the time of last use on disk, where other workers see it. False where the file is gone. */
  async #touch(digest: Digest): Promise<boolean> {
    const now = this.#options.now();
    try {
      const bytes = await this.#bytesOf(digest);
      await writeFile(join(this.#options.folder, "used", digest), this.#name);
      this.#entries.set(digest, { bytes, usedAt: now });
      return true;
    } catch {
      this.#entries.delete(digest);
      return false;
    }
  }

  /** Space that an artifact takes. @throws where it is not there, or is a link to a file that has changed, which is removed then */
  async #bytesOf(digest: Digest): Promise<number> {
    const path = this.path(digest);
    if (!(await isInPlace(path))) return (await stat(path)).size;
    if (await isSame(path, this.#note(digest))) return 0;
    this.#options.log?.(`artifact ${digest.slice(0, 12)}: ${await readlink(path)} is another file now`);
    await this.#remove(digest);
    throw new Error("it changed");
  }

  async #scan(): Promise<void> {
    const folder = join(this.#options.folder, "artifacts");
    const found = new Set<Digest>();
    for (const digest of await readdir(folder)) {
      if (!DigestSchema.safeParse(digest).success) continue;
      const known = await lstat(join(folder, digest)).catch(() => undefined);
      const bytes = known && (await this.#bytesOf(digest).catch(() => undefined));
      if (bytes === undefined) continue;
      found.add(digest);
      const used = await stat(join(this.#options.folder, "used", digest)).catch(() => known!);
      const usedAt = Math.max(used.mtimeMs, this.#entries.get(digest)?.usedAt ?? 0);
      this.#entries.set(digest, { bytes, usedAt });
    }
    for (const digest of this.#entries.keys()) if (!found.has(digest)) this.#entries.delete(digest);
  }

  async #evict(): Promise<void> {
    if (this.counts().bytes <= this.#options.maxBytes) return;
    await this.#scan();
    const evictions = chooseEvictions(
      [...this.#entries].map(([digest, entry]) => ({ digest, ...entry })),
      {
        maxBytes: this.#options.maxBytes,
        held: (digest) => this.#holders.has(digest),
        now: this.#options.now(),
        graceMs: this.#options.graceMs,
      },
    );
    for (const { digest, bytes } of evictions) {
      await this.#remove(digest);
      this.#options.log?.(`artifact ${digest.slice(0, 12)} (${bytes} bytes) evicted`);
    }
  }

  async #remove(digest: Digest): Promise<void> {
    this.#entries.delete(digest);
    this.#checkpointFiles.delete(digest);
    for (const part of ["artifacts", "used", "in-place", "checkpoints"]) {
      await rm(join(this.#options.folder, part, digest), { force: true });
    }
  }
}

/** All of them; whoever releases a hold without looking at `ready` is not told of its failure. */
function settled(promises: readonly Promise<void>[]): Promise<void> {
  const all = Promise.all(promises).then(() => {});
  all.catch(() => {});
  return all;
}
