import { createHash, randomUUID } from "node:crypto";
import { constants, createReadStream, createWriteStream } from "node:fs";
import {
  copyFile,
  link,
  lstat,
  mkdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { artifactPath, noncePath, uploadFolder } from "../../proto/artifact-layout.ts";
import { digestOf } from "../../proto/canonical-json.ts";
import type { Digest } from "../../proto/operations.ts";
import { isDigest } from "../../proto/result-envelope.ts";
import { ArtifactError } from "./errors.ts";

/** How workers name the files that they place: see `ArtifactUpload`. */
const PLACED_NAME = /^[0-9a-f-]{36}\.placed$/;

export interface UploadLimits {
  /** Largest artifact that a worker may send, in bytes: the gradients of all weights of a large model. */
  readonly maxUploadBytes: number;
}

/**
 * Artifacts as files named by their digest: what operations name, in the folder itself, and what workers sent as results,
 * below `uploads-<nonce>/` until they are used. Every file appears whole, by rename.
 */
export class ArtifactStore {
  readonly folder: string;
  /** See `noncePath`. */
  readonly nonce: string = randomUUID();
  readonly #limits: UploadLimits;
  readonly #uploadFolder: string;
  /** Files that were put: digest by path, with what tells that the file is still the same. */
  readonly #known = new Map<string, { readonly sameness: string; readonly digest: Digest }>();
  /** How many results still name an upload. */
  readonly #uploads = new Map<Digest, number>();

  private constructor(folder: string, limits: UploadLimits) {
    this.folder = folder;
    this.#limits = limits;
    this.#uploadFolder = uploadFolder(folder, this.nonce);
  }

  static async open(
    folder: string,
    limits: UploadLimits = { maxUploadBytes: 8 * 1024 ** 3 },
  ): Promise<ArtifactStore> {
    const store = new ArtifactStore(folder, limits);
    await mkdir(store.#uploadFolder, { recursive: true });
    await writeFile(noncePath(folder, store.nonce), "");
    return store;
  }

  async put(bytes: Uint8Array): Promise<Digest> {
    const digest = digestOf(bytes);
    const path = artifactPath(this.folder, digest);
    if (await exists(path)) return digest;
    const aside = this.#aside();
    await writeFile(aside, bytes);
    await rename(aside, path);
    return digest;
  }

  /**
   * Takes a file over without reading it into memory: as a hard link where the file system permits, else as a reflink or a
   * copy. It must not be changed in place afterwards; workers check the digest of what they get.
   */
  async putFile(path: string): Promise<Digest> {
    const source = await realpath(path);
    const { size, mtimeMs, ino } = await stat(source);
    const sameness = `${ino}/${size}/${mtimeMs}`;
    const known = this.#known.get(source);
    if (known?.sameness === sameness && (await exists(artifactPath(this.folder, known.digest)))) {
      return known.digest;
    }
    const aside = this.#aside();
    try {
      await link(source, aside).catch(() => copyFile(source, aside, constants.COPYFILE_FICLONE));
      const digest = await digestOfFile(aside);
      await rename(aside, artifactPath(this.folder, digest));
      this.#known.set(source, { sameness, digest });
      return digest;
    } finally {
      // A rename onto another name of the same file does nothing and leaves the old name.
      await rm(aside, { force: true });
    }
  }

  /** Forgets an artifact. Unknown digests are ignored. */
  async release(digest: Digest): Promise<void> {
    if (isDigest(digest)) await rm(artifactPath(this.folder, digest), { force: true });
  }

  /** The file and size of an artifact, or undefined. */
  async find(digest: Digest): Promise<{ readonly path: string; readonly bytes: number } | undefined> {
    if (!isDigest(digest)) return undefined;
    const path = artifactPath(this.folder, digest);
    const known = await stat(path).catch(() => undefined);
    return known?.isFile() ? { path, bytes: known.size } : undefined;
  }

  /**
   * Takes a worker's bytes as they come.
   * @throws ArtifactError where they are too many, or not those of the digest.
   */
  async upload(digest: Digest, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    if (!isDigest(digest)) throw new ArtifactError(`'${digest.slice(0, 80)}' is no sha256 digest`);
    const { maxUploadBytes } = this.#limits;
    const aside = this.#aside();
    const hash = createHash("sha256");
    const checked = async function* (source: AsyncIterable<Uint8Array>) {
      let total = 0;
      for await (const chunk of source) {
        total += chunk.length;
        if (total > maxUploadBytes) throw new ArtifactError(`it has more than ${maxUploadBytes} bytes`);
        hash.update(chunk);
        yield chunk;
      }
    };
    try {
      await pipeline(chunks, checked, createWriteStream(aside));
      await this.#takeUpload(digest, aside, hash.digest("hex"));
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
    const aside = this.#aside();
    try {
      await rename(join(this.#uploadFolder, name), aside);
      const placed = await lstat(aside);
      if (!placed.isFile()) throw new ArtifactError(`'${name}' is no file`);
      const { maxUploadBytes } = this.#limits;
      if (placed.size > maxUploadBytes) throw new ArtifactError(`it has more than ${maxUploadBytes} bytes`);
      await this.#takeUpload(digest, aside, await digestOfFile(aside));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
      throw new ArtifactError(`no file '${name}' was placed`, { cause });
    } finally {
      await rm(aside, { force: true });
    }
  }

  async #takeUpload(digest: Digest, path: string, actual: Digest): Promise<void> {
    if (actual !== digest) throw new ArtifactError(`the bytes sent as ${digest} are those of ${actual}`);
    await rename(path, join(this.#uploadFolder, digest));
    this.#uploads.set(digest, (this.#uploads.get(digest) ?? 0) + 1);
  }

  /** Makes an upload an artifact that operations may name. @throws ArtifactError where it is not there. */
  async keepUpload(digest: Digest): Promise<void> {
    const aside = this.#aside();
    try {
      await link(join(this.#uploadFolder, digest), aside);
      await rename(aside, artifactPath(this.folder, digest));
    } catch (cause) {
      throw new ArtifactError(`artifact ${digest} was not uploaded`, { cause });
    } finally {
      await rm(aside, { force: true });
    }
  }

  /** Size of an upload; undefined where it is not there. */
  async uploadBytes(digest: Digest): Promise<number | undefined> {
    return (await stat(join(this.#uploadFolder, digest)).catch(() => undefined))?.size;
  }

  /** Bytes of an artifact. @throws ArtifactError where it is not there. */
  async read(digest: Digest): Promise<Uint8Array> {
    const artifact = await this.find(digest);
    if (!artifact) throw new ArtifactError(`no artifact ${digest.slice(0, 80)}`);
    return readFile(artifact.path);
  }

  /** Bytes of an upload. @throws ArtifactError where it is not there. */
  async readUpload(digest: Digest): Promise<Uint8Array> {
    try {
      return await readFile(join(this.#uploadFolder, digest));
    } catch (cause) {
      throw new ArtifactError(`artifact ${digest} was not uploaded`, { cause });
    }
  }

  /** One result less names this upload; the last one removes it. */
  async releaseUpload(digest: Digest): Promise<void> {
    const left = (this.#uploads.get(digest) ?? 0) - 1;
    if (left > 0) {
      this.#uploads.set(digest, left);
      return;
    }
    this.#uploads.delete(digest);
    await rm(join(this.#uploadFolder, digest), { force: true });
  }

  /** Removes what only this process needs; artifacts stay. */
  async close(): Promise<void> {
    await rm(noncePath(this.folder, this.nonce), { force: true });
    await rm(this.#uploadFolder, { recursive: true, force: true });
  }

  #aside(): string {
    return join(this.#uploadFolder, `${randomUUID()}.tmp`);
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function digestOfFile(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1024 ** 2 }), hash);
  return hash.digest("hex");
}
