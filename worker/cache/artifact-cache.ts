import { randomUUID } from "node:crypto";
import { link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { artifactPath, noncePath } from "../../proto/artifact-layout.ts";
import type { Digest } from "../../proto/operations.ts";
import { assertDigest, DigestSchema } from "./digest.ts";
import { type ArtifactSource, download } from "./download.ts";
import { chooseEvictions } from "./eviction.ts";
import { readManifest } from "./manifest.ts";
import { isAbandoned, ownerName } from "./owner.ts";
import { Permits } from "./permits.ts";
import { takeOver } from "./shared-folder.ts";

export interface CacheOptions {
  readonly folder: string;
  /** Bound on the artifacts' bytes together. */
  readonly maxBytes: number;
  readonly source: ArtifactSource;
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

/** The coordinator's artifact folder, which this worker sees, too. */
export interface SharedFolder {
  readonly folder: string;
  readonly nonce: string;
}

interface Fetch {
  readonly done: Promise<void>;
  readonly abort: AbortController;
}

const TOUCH_MS = 10_000;

/**
 * Artifacts by digest in a folder, shared by the workers of a machine.
 *
 * ```
 * <folder>/artifacts/<digest>                  whole and checked
 * <folder>/used/<digest>                       its time is that of the last use (the artifact may be someone's hard link), its text who used it
 * <folder>/checkpoints/<digest>                marks a manifest whose files were all here
 * <folder>/partial/<digest>.<host>.<pid>       being fetched by that process; with a further part, taken in by it
 * ```
 */
export class ArtifactCache {
  readonly #options: Required<Omit<CacheOptions, "log">> & Pick<CacheOptions, "log">;
  readonly #entries = new Map<Digest, { bytes: number; usedAt: number }>();
  readonly #checkpointFiles = new Map<Digest, readonly Digest[]>();
  readonly #manifests = new Map<Digest, Promise<readonly Digest[]>>();
  readonly #fetches = new Map<Digest, Fetch>();
  readonly #holders = new Map<Digest, number>();
  readonly #permits: Permits;
  /** Tells this worker from others of the folder. */
  readonly #name = `${ownerName}.${randomUUID()}`;
  #sharedFolder: SharedFolder | undefined;
  #hits = 0;
  #misses = 0;
  #fetchedBytes = 0;

  private constructor(options: CacheOptions) {
    this.#options = { parallel: 4, graceMs: 60_000, now: Date.now, ...options };
    this.#permits = new Permits(this.#options.parallel);
  }

  /** Opens a cache folder, making it where it is missing, and learns what it holds. */
  static async open(options: CacheOptions): Promise<ArtifactCache> {
    const cache = new ArtifactCache(options);
    for (const part of ["artifacts", "used", "checkpoints", "partial"]) {
      await mkdir(join(options.folder, part), { recursive: true });
    }
    await cache.#scan();
    return cache;
  }

  /** Where an artifact lies, or will lie. */
  path(digest: Digest): string {
    return join(this.#options.folder, "artifacts", assertDigest(digest));
  }

  counts(): CacheCounts {
    let bytes = 0;
    for (const entry of this.#entries.values()) bytes += entry.bytes;
    return {
      bytes,
      artifacts: this.#entries.size,
      hits: this.#hits,
      misses: this.#misses,
      fetchedBytes: this.#fetchedBytes,
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
  async useSharedFolder(folder: string, nonce: string): Promise<boolean> {
    this.#sharedFolder = undefined;
    if (folder === "" || !/^[\w-]{8,128}$/.test(nonce)) return false;
    const seen = await stat(noncePath(folder, nonce)).catch(() => undefined);
    if (!seen?.isFile()) return false;
    this.#sharedFolder = { folder, nonce };
    return true;
  }

  /** Undefined where the coordinator's folder is not seen. */
  get sharedFolder(): SharedFolder | undefined {
    return this.#sharedFolder;
  }

  /**
   * Takes in a file that was made here and whose digest is known: as a hard link, or not at all, since it can be fetched like any other.
   * The file must not be changed any more.
   */
  async adopt(digest: Digest, path: string): Promise<void> {
    // A transfer of the same artifact may be writing its partial file.
    const partial = join(this.#options.folder, "partial", `${digest}.${ownerName}.${randomUUID()}`);
    try {
      await link(path, partial);
      await rename(partial, this.path(digest));
      await this.#touch(digest);
    } catch (error) {
      this.#options.log?.(`artifact ${digest.slice(0, 12)} is not kept: ${(error as Error).message}`);
    } finally {
      // A rename onto another name of the same file does nothing and leaves the old name.
      await rm(partial, { force: true });
    }
    await this.#evict();
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
    for (const fetch of this.#fetches.values()) fetch.abort.abort(new Error("the cache is closed"));
  }

  #keep(digest: Digest): Promise<void> | undefined {
    this.#holders.set(digest, (this.#holders.get(digest) ?? 0) + 1);
    const entry = this.#entries.get(digest);
    if (entry) {
      this.#hits++;
      if (this.#options.now() - entry.usedAt < TOUCH_MS) return undefined;
      return this.#touch(digest).then((there) => (there ? undefined : this.#join(digest)));
    }
    this.#misses++;
    return this.#join(digest);
  }

  #drop(digest: Digest): void {
    const left = (this.#holders.get(digest) ?? 1) - 1;
    if (left > 0) {
      this.#holders.set(digest, left);
      return;
    }
    this.#holders.delete(digest);
    this.#fetches.get(digest)?.abort.abort(new Error("no operation waits for the artifact any more"));
  }

  /** One transfer per artifact, however many wait for it. */
  #join(digest: Digest): Promise<void> {
    const running = this.#fetches.get(digest);
    if (running && !running.abort.signal.aborted) return running.done;
    const abort = new AbortController();
    const done = this.#fetch(digest, abort.signal, running?.done).finally(() => {
      if (this.#fetches.get(digest)?.abort === abort) this.#fetches.delete(digest);
    });
    this.#fetches.set(digest, { done, abort });
    return done;
  }

  /** `before`: an aborted transfer that may still be writing the same partial file. */
  async #fetch(digest: Digest, signal: AbortSignal, before: Promise<void> | undefined): Promise<void> {
    await before?.catch(() => {});
    await this.#permits.with(signal, async () => {
      const startedAt = performance.now();
      const known = await stat(this.path(digest)).catch(() => undefined); // another worker was quicker
      if (known) {
        await this.#touch(digest);
        return;
      }
      const partialPath = await this.#partial(digest);
      const way = (await this.#fromSharedFolder(digest, partialPath, signal)) ?? "fetched";
      if (way === "fetched") {
        await download({
          digest,
          partialPath,
          source: this.#options.source,
          signal,
          onBytes: (bytes) => {
            this.#fetchedBytes += bytes;
          },
          onBroken: (error, offset) =>
            this.#options.log?.(
              `transfer of artifact ${digest.slice(0, 12)} broke at byte ${offset} (${(error as Error).message}), continuing`,
            ),
        });
        await flush(partialPath);
      }
      await rename(partialPath, this.path(digest));
      await this.#touch(digest);
      const bytes = this.#entries.get(digest)?.bytes ?? 0;
      this.#options.log?.(
        `artifact ${digest.slice(0, 12)} (${bytes} bytes) ${way} in ${Math.round(performance.now() - startedAt)} ms`,
      );
    });
    await this.#evict();
  }

  async #fromSharedFolder(digest: Digest, destination: string, signal: AbortSignal) {
    if (!this.#sharedFolder) return undefined;
    try {
      return await takeOver(artifactPath(this.#sharedFolder.folder, digest), destination, digest, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#options.log?.(`the shared folder does not help: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** This process's own partial file, taken over from a process of this machine that is gone. */
  async #partial(digest: Digest): Promise<string> {
    const folder = join(this.#options.folder, "partial");
    const own = join(folder, `${digest}.${ownerName}`);
    for (const name of await readdir(folder)) {
      if (!name.startsWith(digest) || !isAbandoned(name.slice(digest.length + 1))) continue;
      await rename(join(folder, name), own).catch(() => {}); // another worker may have taken it first
    }
    return own;
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
      const { size } = await stat(this.path(digest));
      await writeFile(join(this.#options.folder, "used", digest), this.#name);
      this.#entries.set(digest, { bytes: size, usedAt: now });
      return true;
    } catch {
      this.#entries.delete(digest);
      return false;
    }
  }

  async #scan(): Promise<void> {
    const folder = join(this.#options.folder, "artifacts");
    const found = new Set<Digest>();
    for (const digest of await readdir(folder)) {
      if (!DigestSchema.safeParse(digest).success) continue;
      const known = await stat(join(folder, digest)).catch(() => undefined);
      if (!known) continue;
      found.add(digest);
      const used = await stat(join(this.#options.folder, "used", digest)).catch(() => known);
      const usedAt = Math.max(used.mtimeMs, this.#entries.get(digest)?.usedAt ?? 0);
      this.#entries.set(digest, { bytes: known.size, usedAt });
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
    for (const part of ["artifacts", "used", "checkpoints"]) {
      await rm(join(this.#options.folder, part, digest), { force: true });
    }
  }
}

async function flush(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}

/** All of them; whoever releases a hold without looking at `ready` is not told of its failure. */
function settled(promises: readonly Promise<void>[]): Promise<void> {
  const all = Promise.all(promises).then(() => {});
  all.catch(() => {});
  return all;
}
