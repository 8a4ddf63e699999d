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
  /** How many results still name an upload. */
  readonly #named = new Map<Digest, number>();

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
    const { maxUploadBytes, maxUploadsBytes } = this.#limits;
    const aside = this.aside();
    const hash = createHash("sha256");
    let room = await this.#room();
    const checked = async function* (source: AsyncIterable<Uint8Array>) {
      let total = 0;
      for await (const chunk of source) {
        total += chunk.length;
        if (total > maxUploadBytes) throw new ArtifactError(`it has more than ${maxUploadBytes} bytes`);
        room -= chunk.length;
        if (room < 0) throw noRoom(maxUploadsBytes);
        hash.update(chunk);
        yield chunk;
      }
    };
    try {
      await pipeline(chunks, checked, createWriteStream(aside));
      await this.#take(digest, aside, hash.digest("hex"));
    } finally {
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
    try {
      await rename(join(this.folder, name), aside);
      const placed = await lstat(aside);
      if (!placed.isFile()) throw new ArtifactError(`'${name}' is no file`);
      const { maxUploadBytes } = this.#limits;
      if (placed.size > maxUploadBytes) throw new ArtifactError(`it has more than ${maxUploadBytes} bytes`);
      // Its bytes are in the folder, and counted, already.
      if ((await this.#room()) < 0) throw noRoom(this.#limits.maxUploadsBytes);
      await this.#take(digest, aside, await digestOfFile(aside));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
      throw new ArtifactError(`no file '${name}' was placed`, { cause });
    } finally {
      await rm(aside, { force: true });
    }
  }

  /** Bytes that may still come; below 0 where there are too many. */
  async #room(): Promise<number> {
    let left = this.#limits.maxUploadsBytes;
    for (const name of await readdir(this.folder))
      left -= (await stat(join(this.folder, name)).catch(() => undefined))?.size ?? 0;
    return left;
  }

  async #take(digest: Digest, path: string, actual: Digest): Promise<void> {
    if (actual !== digest) throw new ArtifactError(`the bytes sent as ${digest} are those of ${actual}`);
    await rename(path, this.path(digest));
    this.#named.set(digest, (this.#named.get(digest) ?? 0) + 1);
    await this.#removeAbandoned();
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
      this.#named.delete(name);
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
    const left = (this.#named.get(digest) ?? 0) - 1;
    if (left > 0) {
      this.#named.set(digest, left);
      return;
    }
    this.#named.delete(digest);
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

const noRoom = (bytes: number): ArtifactError =>
  new ArtifactError(
    `results of workers take the ${bytes} bytes that they may take; what no result names goes after a while`,
  );

export async function digestOfFile(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1024 ** 2 }), hash);
  return hash.digest("hex");
}
