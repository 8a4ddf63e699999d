import { randomUUID } from "node:crypto";
import { link, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { artifactPath, noncePath } from "../../proto/artifact-layout.ts";
import type { Digest } from "../../proto/operations.ts";
import { type ArtifactSource, download } from "./download.ts";
import { isInPlace, linkInPlace, type ModelsVolume } from "./models-volume.ts";
import { ownerName, ownPartial } from "./owner.ts";
import { Permits } from "./permits.ts";
import { takeOver } from "./shared-folder.ts";

/** The coordinator's artifact folder, which this worker sees, too. */
export interface SharedFolder {
  readonly folder: string;
  readonly nonce: string;
}

export interface TransferOptions {
  /** For what is on its way: `<digest>.<host>.<pid>`, with a further part where it was made here. */
  readonly partialFolder: string;
  readonly source: ArtifactSource;
  /** Artifacts fetched at the same time. */
  readonly parallel: number;
  /** Where an artifact will lie. */
  readonly pathOf: (digest: Digest) => string;
  /** An artifact lies there, whole; whoever waits for it waits for this, too. */
  readonly arrived: (digest: Digest) => Promise<void>;
  /** Absent: there is no volume of models. */
  readonly models?: ModelsVolume | undefined;
  readonly log?: ((message: string) => void) | undefined;
}

interface Fetch {
  readonly done: Promise<void>;
  readonly abort: AbortController;
}

/** Brings artifacts to their place in a cache folder: from the coordinator's folder where it is seen, else over the network. */
export class Transfers {
  readonly #options: TransferOptions;
  readonly #fetches = new Map<Digest, Fetch>();
  readonly #permits: Permits;
  #sharedFolder: SharedFolder | undefined;
  #fetchedBytes = 0;

  constructor(options: TransferOptions) {
    this.#options = options;
    this.#permits = new Permits(options.parallel);
  }

  /** That came over the network. */
  get fetchedBytes(): number {
    return this.#fetchedBytes;
  }

  /** Undefined where the coordinator's folder is not seen. */
  get sharedFolder(): SharedFolder | undefined {
    return this.#sharedFolder;
  }

  /** See `ArtifactCache.useSharedFolder`. */
  async useSharedFolder(folder: string, nonce: string): Promise<boolean> {
    this.#sharedFolder = undefined;
    if (folder === "" || !/^[\w-]{8,128}$/.test(nonce)) return false;
    const seen = await stat(noncePath(folder, nonce)).catch(() => undefined);
    if (!seen?.isFile()) return false;
    this.#sharedFolder = { folder, nonce };
    return true;
  }

  /** One transfer per artifact, however many wait for it. */
  fetch(digest: Digest): Promise<void> {
    const running = this.#fetches.get(digest);
    if (running && !running.abort.signal.aborted) return running.done;
    const abort = new AbortController();
    const done = this.#fetch(digest, abort.signal, running?.done).finally(() => {
      if (this.#fetches.get(digest)?.abort === abort) this.#fetches.delete(digest);
    });
    this.#fetches.set(digest, { done, abort });
    return done;
  }

  /** Ends the transfer of an artifact that nobody waits for. */
  abandon(digest: Digest): void {
    this.#fetches.get(digest)?.abort.abort(new Error("no operation waits for the artifact any more"));
  }

  /** Puts a file of this worker in an artifact's place, as a hard link. */
  async place(digest: Digest, path: string): Promise<void> {
    // A transfer of the same artifact may be writing its partial file.
    const partial = join(this.#options.partialFolder, `${digest}.${ownerName}.${randomUUID()}`);
    try {
      await link(path, partial);
      await rename(partial, this.#options.pathOf(digest));
    } finally {
      // A rename onto another name of the same file does nothing and leaves the old name.
      await rm(partial, { force: true });
    }
    await this.#options.arrived(digest);
  }

  /** Ends all; what came so far stays for the next process. */
  close(): void {
    for (const fetch of this.#fetches.values()) fetch.abort.abort(new Error("the cache is closed"));
  }

  /** `before`: an aborted transfer that may still be writing the same partial file. */
  async #fetch(digest: Digest, signal: AbortSignal, before: Promise<void> | undefined): Promise<void> {
    const { pathOf, arrived } = this.#options;
    await before?.catch(() => {});
    await this.#permits.with(signal, async () => {
      const known = await stat(pathOf(digest)).catch(() => undefined); // another worker was quicker
      if (!known) await this.#bring(digest, signal);
    });
    await arrived(digest);
  }

  async #bring(digest: Digest, signal: AbortSignal): Promise<void> {
    const { pathOf, log } = this.#options;
    const startedAt = performance.now();
    const partialPath = await this.#partial(digest);
    const way =
      (await this.#fromModels(digest, partialPath, signal)) ??
      (await this.#fromSharedFolder(digest, partialPath, signal)) ??
      "fetched";
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
          log?.(
            `transfer of artifact ${digest.slice(0, 12)} broke at byte ${offset} (${(error as Error).message}), continuing`,
          ),
      });
      await flush(partialPath);
    }
    const { size } = await stat(partialPath);
    await rename(partialPath, pathOf(digest));
    log?.(
      `artifact ${digest.slice(0, 12)} (${size} bytes) ${way} in ${Math.round(performance.now() - startedAt)} ms`,
    );
  }

  async #fromModels(digest: Digest, destination: string, signal: AbortSignal) {
    const { models, log } = this.#options;
    if (!models) return undefined;
    try {
      return await linkInPlace(models, destination, digest, signal);
    } catch (error) {
      signal.throwIfAborted();
      log?.(`the volume of models does not help: ${(error as Error).message}`);
      return undefined;
    }
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

  /** This process's own partial file, which is no link. */
  async #partial(digest: Digest): Promise<string> {
    const own = await ownPartial(this.#options.partialFolder, digest);
    // What is fetched must not be written through a link to the volume of models, which a killed process has left.
    if (await isInPlace(own).catch(() => false)) await rm(own, { force: true });
    return own;
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
