import { createHash, randomUUID } from "node:crypto";
import { constants, createReadStream, createWriteStream } from "node:fs";
import {
  copyFile,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { isAbsolute, join, relative, resolve } from "node:path";
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
  /** An upload that no result named for so long is one of a worker that is gone. */
  readonly keepUploadsMs: number;
}

export interface ArtifactStoreOptions extends Partial<UploadLimits> {
  /** A volume of models that workers see, too: its files are linked to where they lie, and never copied. */
  readonly models?: string;
  readonly log?: (message: string) => void;
}

const DEFAULT_LIMITS: UploadLimits = { maxUploadBytes: 8 * 1024 ** 3, keepUploadsMs: 30 * 60_000 };

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
  /** Who needs an artifact: it goes with the last of them. */
  readonly #holders = new Map<Digest, Set<string>>();
  /** By digest, the end of what is being done to its file: writing and removing take turns. */
  readonly #turns = new Map<Digest, Promise<unknown>>();
  /** How many results still name an upload. */
  readonly #uploads = new Map<Digest, number>();

  /** Without links in it; undefined where there is none. */
  readonly #models: string | undefined;
  readonly #log: ((message: string) => void) | undefined;

  private constructor(folder: string, { models, log, ...limits }: ArtifactStoreOptions) {
    this.folder = folder;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#models = models;
    this.#log = log;
    this.#uploadFolder = uploadFolder(folder, this.nonce);
  }

  static async open(folder: string, options: ArtifactStoreOptions = {}): Promise<ArtifactStore> {
    const models = options.models && (await realpath(options.models));
    // Workers on the same volume are told its path.
    const store = new ArtifactStore(resolve(folder), { ...options, ...(models && { models }) });
    await mkdir(store.#uploadFolder, { recursive: true });
    await writeFile(noncePath(folder, store.nonce), "");
    return store;
  }

  /** @param holder who needs it until `release` or `releaseAllOf`; absent: it stays until released */
  put(bytes: Uint8Array, holder?: string): Promise<Digest> {
    const digest = digestOf(bytes);
    this.#addHolder(digest, holder);
    return this.#inTurn(digest, async () => {
      const path = artifactPath(this.folder, digest);
      if (await exists(path)) return digest;
      const aside = this.#aside();
      await writeFile(aside, bytes);
      await rename(aside, path);
      return digest;
    });
  }

  /**
   * Takes a file over without reading it into memory: as a hard link where the file system permits, else as a reflink or a
   * copy. It must not be changed in place afterwards; workers check the digest of what they get.
   *
   * @param holder as in `put`
   */
  async putFile(path: string, holder?: string): Promise<Digest> {
    const source = await realpath(path);
    const { size, mtimeMs, ino } = await stat(source);
    const sameness = `${ino}/${size}/${mtimeMs}`;
    const known = this.#known.get(source);
    if (known?.sameness === sameness) {
      const { digest } = known;
      this.#addHolder(digest, holder);
      if (await this.#inTurn(digest, () => exists(artifactPath(this.folder, digest)))) return digest;
    }
    const aside = this.#aside();
    try {
      const way = await this.#bring(source, aside);
      if (known?.sameness !== sameness) this.#log?.(`${source} (${size} bytes) ${way}`);
      const digest = known?.sameness === sameness ? known.digest : await digestOfFile(aside);
      this.#addHolder(digest, holder);
      await this.#inTurn(digest, () => rename(aside, artifactPath(this.folder, digest)));
      this.#known.set(source, { sameness, digest });
      return digest;
    } finally {
      // A rename onto another name of the same file does nothing and leaves the old name.
      await rm(aside, { force: true });
    }
  }

  /** Links where that is possible, and where it is not, copies what is on no volume of models. */
  async #bring(source: string, target: string): Promise<string> {
    if (this.#pathOnModels(source) === undefined) return linkOrCopy(source, target);
    await symlink(source, target);
    return "used in place";
  }

  #pathOnModels(source: string): string | undefined {
    const root = this.#models;
    if (root === undefined) return undefined;
    const path = relative(root, source);
    return path.startsWith("..") || isAbsolute(path) ? undefined : path;
  }

  /** Where a file that was put lies below the volume of models; undefined where it does not. */
  placeOnModels(digest: Digest): string | undefined {
    for (const [source, known] of this.#known) {
      const path = known.digest === digest ? this.#pathOnModels(source) : undefined;
      if (path !== undefined) return path;
    }
    return undefined;
  }

  #addHolder(digest: Digest, holder: string | undefined): void {
    if (holder !== undefined) this.#holders.set(digest, (this.#holders.get(digest) ?? new Set()).add(holder));
  }

  /** One more needs an artifact that others hold now; one that nobody holds stays anyway. */
  hold(digest: Digest, holder: string): void {
    this.#holders.get(digest)?.add(holder);
  }

  /** Forgets an artifact, unless somebody else holds it, or this holder never did. Unknown digests are ignored. */
  async release(digest: Digest, holder?: string): Promise<void> {
    if (!isDigest(digest)) return;
    const holders = this.#holders.get(digest);
    if (holder !== undefined && !holders?.delete(holder)) return;
    if (holders !== undefined && holders.size > 0) return;
    this.#holders.delete(digest);
    await this.#inTurn(digest, async () => {
      if (!this.#holders.has(digest)) await rm(artifactPath(this.folder, digest), { force: true });
    });
  }

  /** Forgets what nobody else holds of all that this holder put. */
  async releaseAllOf(holder: string): Promise<void> {
    const held = [...this.#holders].filter(([, holders]) => holders.has(holder));
    for (const [digest] of held) await this.release(digest, holder);
  }

  #inTurn<T>(digest: Digest, action: () => Promise<T>): Promise<T> {
    const done = (this.#turns.get(digest) ?? Promise.resolve()).then(action);
    const settled = done
      .catch(() => {})
      .finally(() => {
        if (this.#turns.get(digest) === settled) this.#turns.delete(digest);
      });
    this.#turns.set(digest, settled);
    return done;
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
    await this.#removeAbandoned();
  }

  /** Removes what workers sent or placed and never named in a result. */
  async #removeAbandoned(): Promise<void> {
    const since = Date.now() - this.#limits.keepUploadsMs;
    for (const name of await readdir(this.#uploadFolder)) {
      // This process's own, which goes away by itself.
      if (name.endsWith(".tmp")) continue;
      const path = join(this.#uploadFolder, name);
      const known = await stat(path).catch(() => undefined);
      if (!known || known.ctimeMs > since) continue;
      this.#uploads.delete(name);
      await rm(path, { force: true });
    }
  }

  /**
   * Makes an upload an artifact that operations may name, until its last holder releases it.
   * @throws ArtifactError where it is not there.
   */
  keepUpload(digest: Digest, holder: string): Promise<void> {
    return this.#inTurn(digest, async () => {
      const path = artifactPath(this.folder, digest);
      const isNew = !(await exists(path));
      const aside = this.#aside();
      try {
        await linkOrCopy(join(this.#uploadFolder, digest), aside);
        await rename(aside, path);
      } catch (cause) {
        throw new ArtifactError(`artifact ${digest} was not uploaded`, { cause });
      } finally {
        await rm(aside, { force: true });
      }
      if (isNew) this.#holders.set(digest, this.#holders.get(digest) ?? new Set());
      this.hold(digest, holder);
    });
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

/** A hard link where the file system permits, else a reflink, else a copy. */
async function linkOrCopy(source: string, target: string): Promise<"linked" | "copied"> {
  try {
    await link(source, target);
    return "linked";
  } catch {
    await copyFile(source, target, constants.COPYFILE_FICLONE);
    return "copied";
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
