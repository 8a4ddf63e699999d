import { join } from "node:path";
import type { BucketCache } from "../sources/bucket-cache.ts";
import type { BucketSettings } from "../sources/bucket-settings.ts";
import type { Wanted } from "../sources/pieces.ts";
import { isRemote, parseSource, SourceError } from "../sources/source.ts";
import type { UploadStore } from "../sources/upload-store.ts";
import type { OpenedJob, OpenJob } from "../sweep/job-work.ts";
import { isPathOption } from "./sweep-settings.ts";

/** Options of a job whose sources lie on this machine, until they are released. */
export interface LocalOptions {
  readonly options: Readonly<Record<string, unknown>>;
  /** Of each path here, what it stands for. */
  readonly sources: ReadonlyMap<string, string>;
  release(): void;
}

/** Opens jobs once everything that they read lies on this machine, and lets go of it when they are closed. */
export const openWithSources =
  (open: OpenJob, bringHere: (job: OpenedJob, signal: AbortSignal) => Promise<LocalOptions>): OpenJob =>
  async (job, signal) => {
    const { options, sources, release } = await bringHere(job, signal);
    try {
      const work = await open({ ...job, options }, signal);
      return {
        get deviceClass() {
          return work.deviceClass;
        },
        get provenance() {
          return work.provenance;
        },
        scan: (...args) => work.scan(...args),
        unlearn: (...args) => work.unlearn(...args),
        evaluate: (...args) => work.evaluate(...args),
        close: () => work.close().finally(release),
      };
    } catch (error) {
      release();
      // A user knows a model by its source, and not by where it was put.
      if (error instanceof Error)
        for (const [path, text] of sources) error.message = error.message.replaceAll(path, text);
      throw error;
    }
  };

/** Where the sources of jobs are brought to this machine. */
export interface SourceStores {
  readonly uploads: UploadStore;
  readonly buckets: BucketCache;
}

/**
 * Puts a path of this machine in the place of every bucket and upload that a job's options name, fetching what is missing.
 *
 * @throws SourceError naming the source; the signal's reason
 */
export async function localOptions(
  options: Readonly<Record<string, unknown>>,
  { uploads, buckets }: SourceStores,
  { settings, signal }: { readonly settings: BucketSettings; readonly signal: AbortSignal },
): Promise<LocalOptions> {
  const local: Record<string, unknown> = { ...options };
  const sources = new Map<string, string>();
  const releases: (() => void)[] = [];
  const release = () => {
    for (const one of releases.splice(0)) one();
  };
  try {
    for (const { name, text } of remoteOptions(options)) {
      const source = parseSource(text, "/");
      const wanted = wantedOf(name);
      let path: string;
      if (source.kind === "upload") path = await uploadedPath(uploads, source.manifest, wanted);
      else if (source.kind === "bucket") {
        const held = await buckets.hold(source, wanted, { settings, signal });
        releases.push(held.release);
        path = held.path;
      } else continue;
      local[name] = path;
      sources.set(path, text);
    }
    return { options: local, sources, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** The options of a job that name buckets and uploads. */
export const remoteOptions = (
  options: Readonly<Record<string, unknown>>,
): { readonly name: string; readonly text: string }[] =>
  Object.entries(options).flatMap(([name, text]) =>
    typeof text === "string" && isPathOption(name) && isRemote(text) ? [{ name, text }] : [],
  );

/** What an option wants of its source. */
export const wantedOf = (name: string): Wanted =>
  name === "model" ? "checkpoint" : name === "base" ? "base" : "file";

async function uploadedPath(uploads: UploadStore, manifest: string, wanted: Wanted): Promise<string> {
  const folder = await uploads.folderOf(manifest);
  if (wanted !== "file") return folder;
  const [name, ...others] = await uploads.namesIn(manifest);
  if (name === undefined || others.length > 0)
    throw new SourceError(
      `upload:${manifest}: is a folder of ${others.length + 1} files, and one file is wanted`,
    );
  return join(folder, name);
}
