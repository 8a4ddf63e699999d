import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { lstat, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Digest } from "../../proto/operations.ts";
import { isDigest } from "../../proto/result-envelope.ts";
import { ArtifactError } from "./errors.ts";

/** How workers name the files that they place: see `ArtifactUpload`. */
const PLACED_NAME = /^[0-9a-f-]{36}\.placed$/;

export interface UploadLimits {
  /** Largest artifact that a worker may send, in bytes: the gradients of all weights of a large model. */
  readonly maxUploadBytes: number;
  /** Of all that no result was used of yet, in bytes. */
  readonly maxUploadsBytes: number;
  /** An upload that no result named for so long is one of a worker that is gone. */
  readonly keepUploadsMs: number;
}

const DEFAULT_LIMITS: UploadLimits = {
  maxUploadBytes: 8 * 1024 ** 3,
  maxUploadsBytes: 64 * 1024 ** 3,
  keepUploadsMs: 30 * 60_000,
};

/** What workers sent or placed as results, or parts of them: files named by their digest, from their arrival until every result that names them was used. */
export class ResultUploads {
  readonly folder: string;
  readonly #limits: UploadLimits;
  /** What is here, and how many results still name it. */
  readonly #uploads = new Map<Digest, { readonly bytes: number; readonly results: number }>();
  /** What is on its way here. */
  readonly #arriving = new Set<{ bytes: number }>();

  constructor(folder: string, limits: Partial<UploadLimits>) {
    this.folder = folder;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
  }

  /**
   * Takes a worker's bytes as they come.
   * @throws ArtifactError where they are too many, or not those of the digest.
   */
  async receive(digest: Digest, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    if (!isDigest(digest)) throw new ArtifactError(`'${digest.slice(0, 80)}' is no sha256 digest`);
    await this.#removeAbandoned();
    const aside = this.aside();
    const hash = createHash("sha256");
    const own = { bytes: 0 };
    this.#arriving.add(own);
    const arrive = (chunk: Uint8Array): Uint8Array => {
      own.bytes += chunk.length;
      this.#requireRoom(own.bytes);
      hash.update(chunk);
      return chunk;
    };
    const checked = async function* (source: AsyncIterable<Uint8Array>) {
      for await (const chunk of source) yield arrive(chunk);
    };
    try {
      await pipeline(chunks, checked, createWriteStream(aside));
      await this.#take(digest, aside, { bytes: own.bytes, actual: hash.digest("hex") });
    } finally {
      this.#arriving.delete(own);
      await rm(aside, { force: true });
    }
  }

  /**
   * Takes a file that a worker put into the folder for uploads, which it shares; the worker changes it no more.
   * @throws ArtifactError where there is no such file, or its bytes are others.
   */
  async takePlaced(digest: Digest, name: string): Promise<void> {
    if (!isDigest(digest)) throw new ArtifactError(`'${digest.slice(0, 80)}' is no sha256 digest`);
    if (!PLACED_NAME.test(name))
      throw new ArtifactError(`'${name.slice(0, 80)}' is no name of a placed file`);
    const aside = this.aside();
    const own = { bytes: 0 };
    this.#arriving.add(own);
    try {
      await rename(join(this.folder, name), aside);
      await this.#removeAbandoned();
      const placed = await lstat(aside);
      if (!placed.isFile()) throw new ArtifactError(`'${name}' is no file`);
      own.bytes = placed.size;
      this.#requireRoom(own.bytes);
      await this.#take(digest, aside, { bytes: own.bytes, actual: await digestOfFile(aside) });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
      throw new ArtifactError(`no file '${name}' was placed`, { cause });
    } finally {
      this.#arriving.delete(own);
      await rm(aside, { force: true });
    }
  }

  /** Refuses one that has so many bytes by now, or more than all together may have. */
  #requireRoom(ownBytes: number): void {
    const { maxUploadBytes, maxUploadsBytes } = this.#limits;
    if (ownBytes > maxUploadBytes) throw new ArtifactError(`it has more than ${maxUploadBytes} bytes`);
    let left = maxUploadsBytes;
    for (const { bytes } of [...this.#uploads.values(), ...this.#arriving]) left -= bytes;
    if (left >= 0) return;
    throw new ArtifactError(
      `results of workers take the ${maxUploadsBytes} bytes that they may take; what no result names goes after a while`,
    );
  }

  async #take(
    digest: Digest,
    path: string,
    { bytes, actual }: { readonly bytes: number; readonly actual: Digest },
  ): Promise<void> {
    if (actual !== digest) throw new ArtifactError(`the bytes sent as ${digest} are those of ${actual}`);
    await rename(path, this.path(digest));
    this.#uploads.set(digest, { bytes, results: (this.#uploads.get(digest)?.results ?? 0) + 1 });
  }

  /** Removes what workers sent or placed and never named in a result. */
  async #removeAbandoned(): Promise<void> {
    const since = Date.now() - this.#limits.keepUploadsMs;
    for (const name of await readdir(this.folder)) {
      // This process's own, which goes away by itself.
      if (name.endsWith(".tmp")) continue;
      const path = join(this.folder, name);
      const known = await stat(path).catch(() => undefined);
      if (!known || known.ctimeMs > since) continue;
      this.#uploads.delete(name);
      await rm(path, { force: true });
    }
  }

  /** Size of an upload; undefined where it is not there. */
  async bytes(digest: Digest): Promise<number | undefined> {
    return (await stat(this.path(digest)).catch(() => undefined))?.size;
  }

  /** Bytes of an upload. @throws ArtifactError where it is not there. */
  async read(digest: Digest): Promise<Uint8Array> {
    try {
      return await readFile(this.path(digest));
    } catch (cause) {
      throw new ArtifactError(`artifact ${digest} was not uploaded`, { cause });
    }
  }

  /** One result less names this upload; the last one removes it. */
  async release(digest: Digest): Promise<void> {
    const known = this.#uploads.get(digest);
    if (known && known.results > 1) {
      this.#uploads.set(digest, { ...known, results: known.results - 1 });
      return;
    }
    this.#uploads.delete(digest);
    await rm(this.path(digest), { force: true });
  }

  path(digest: Digest): string {
    return join(this.folder, digest);
  }

  /** For a file that is not whole yet, of this process alone. */
  aside(): string {
    return join(this.folder, `${randomUUID()}.tmp`);
  }
}

export async function digestOfFile(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1024 ** 2 }), hash);
  return hash.digest("hex");
}
