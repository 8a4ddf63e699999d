import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import {
  copyFile,
  link,
  mkdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { isAbsolute, relative, resolve } from "node:path";
import { artifactPath, noncePath, uploadFolder } from "../../proto/artifact-layout.ts";
import { digestOf } from "../../proto/canonical-json.ts";
import type { Digest } from "../../proto/operations.ts";
import { isDigest } from "../../proto/result-envelope.ts";
import { ArtifactError } from "./errors.ts";
import { digestOfFile, ResultUploads, type UploadLimits } from "./result-uploads.ts";

export interface ArtifactStoreOptions extends Partial<UploadLimits> {
  /** A volume of models that workers see, too: its files are linked to where they lie, and never copied. */
  readonly models?: string;
  readonly log?: (message: string) => void;
}

/**
 * Artifacts as files named by their digest: what operations name, in the folder itself, and what workers sent as results,
 * below `uploads-<nonce>/` until they are used. Every file appears whole, by rename.
 */
export class ArtifactStore {
  readonly folder: string;
  /** See `noncePath`. */
  readonly nonce: string = randomUUID();
  /** What workers sent, until it is used. */
  readonly uploads: ResultUploads;
  /** Files that were put: digest by path, with what tells that the file is still the same. */
  readonly #known = new Map<string, { readonly sameness: string; readonly digest: Digest }>();
  /** Who needs an artifact: it goes with the last of them. */
  readonly #holders = new Map<Digest, Set<string>>();
  /** By digest, the end of what is being done to its file: writing and removing take turns. */
  readonly #turns = new Map<Digest, Promise<unknown>>();
  /** Without links in it; undefined where there is none. */
  readonly #models: string | undefined;
  readonly #log: ((message: string) => void) | undefined;

  private constructor(folder: string, { models, log, ...limits }: ArtifactStoreOptions) {
    this.folder = folder;
    this.#models = models;
    this.#log = log;
    this.uploads = new ResultUploads(uploadFolder(folder, this.nonce), limits);
  }

  static async open(folder: string, options: ArtifactStoreOptions = {}): Promise<ArtifactStore> {
    const models = options.models && (await realpath(options.models));
    // Workers on the same volume are told its path.
    const store = new ArtifactStore(resolve(folder), { ...options, ...(models && { models }) });
    await mkdir(store.uploads.folder, { recursive: true });
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
      const aside = this.uploads.aside();
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
    const aside = this.uploads.aside();
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
   * Makes an upload an artifact that operations may name, until its last holder releases it.
   * @throws ArtifactError where it is not there.
   */
  keepUpload(digest: Digest, holder: string): Promise<void> {
    return this.#inTurn(digest, async () => {
      const path = artifactPath(this.folder, digest);
      const isNew = !(await exists(path));
      const aside = this.uploads.aside();
      try {
        await linkOrCopy(this.uploads.path(digest), aside);
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

  /** Bytes of an artifact. @throws ArtifactError where it is not there. */
  async read(digest: Digest): Promise<Uint8Array> {
    const artifact = await this.find(digest);
    if (!artifact) throw new ArtifactError(`no artifact ${digest.slice(0, 80)}`);
    return readFile(artifact.path);
  }

  /** Removes what only this process needs; artifacts stay. */
  async close(): Promise<void> {
    await rm(noncePath(this.folder, this.nonce), { force: true });
    await rm(this.uploads.folder, { recursive: true, force: true });
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
