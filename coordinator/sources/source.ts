/** Where a sweep's models and samples come from, and how that is written in a sweep file and in the log. */
import { isAbsolute, resolve } from "node:path";
import { isDigest } from "../../proto/result-envelope.ts";

export type Source =
  /** A folder or file of the coordinator's machine, or of a volume that it sees; absolute. */
  | { readonly kind: "path"; readonly path: string }
  /** Objects of an S3-compatible bucket: those below `prefix`, or the one of this key. Neither begins nor ends with a slash; empty: the whole bucket. */
  | { readonly kind: "bucket"; readonly bucket: string; readonly prefix: string }
  /** Files that a client sent, as the manifest of this digest names them. */
  | { readonly kind: "upload"; readonly manifest: string };

export type BucketSource = Extract<Source, { readonly kind: "bucket" }>;

/** A source cannot be had: the message names it. */
export class SourceError extends Error {
  override readonly name = "SourceError";
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** S3's own limit. */
const MAX_KEY_BYTES = 1024;

/** How a URL begins; a name with a colon in it is none. */
const SCHEME = /^([a-z][a-z0-9+.-]*):\/\//i;

/** @param relativeTo folder that relative paths begin in @throws SourceError for a bucket or upload that cannot be one, and for other URLs */
export function parseSource(text: string, relativeTo: string): Source {
  if (text.startsWith("s3:")) return parseBucket(text);
  if (text.startsWith("upload:")) {
    const manifest = text.slice("upload:".length);
    if (!isDigest(manifest)) throw new SourceError(`${text}: must be upload: and 64 hexadecimal digits`);
    return { kind: "upload", manifest };
  }
  const [, scheme] = SCHEME.exec(text) ?? [];
  if (scheme !== undefined) throw new SourceError(`${text}: ${unread(scheme.toLowerCase())}`);
  return { kind: "path", path: resolve(relativeTo, text) };
}

/** What to do where a source is named that nothing here reads. */
function unread(scheme: string): string {
  if (scheme === "file") return "write the path alone, without file://";
  if (scheme === "s3") return "write s3:// in small letters";
  return `nothing reads ${scheme}:// here; name a path, an S3-compatible bucket's folder (s3://BUCKET/FOLDER), or send files of your machine (--upload)`;
}

/** Text that `parseSource` reads as this source, whatever folder it is given. */
export function sourceText(source: Source): string {
  switch (source.kind) {
    case "path":
      return source.path;
    case "bucket":
      return `s3://${source.bucket}${source.prefix === "" ? "" : `/${source.prefix}`}`;
    case "upload":
      return `upload:${source.manifest}`;
  }
}

/** Whether a text names something else than a path. */
export const isRemote = (text: string): boolean =>
  !isAbsolute(text) && (/^(s3|upload):/.test(text) || SCHEME.test(text));

function parseBucket(text: string): BucketSource {
  const [, bucket, rest = ""] = /^s3:\/\/([^/]*)(?:\/(.*))?$/s.exec(text) ?? [];
  if (bucket === undefined) throw new SourceError(`${text}: must be s3://BUCKET/FOLDER`);
  if (!BUCKET.test(bucket))
    throw new SourceError(
      `${text}: '${bucket}' cannot be a bucket's name: 3 to 63 lower-case letters, digits, '.' and '-'`,
    );
  const prefix = rest.replace(/\/+$/, "");
  if (prefix.startsWith("/") || prefix.includes("//"))
    throw new SourceError(`${text}: an empty name stands between two slashes`);
  if (/[*?]/.test(prefix))
    throw new SourceError(`${text}: a bucket's folders are named one by one, not as a glob`);
  if (Buffer.byteLength(prefix) > MAX_KEY_BYTES)
    throw new SourceError(`${text.slice(0, 80)}…: a key has at most ${MAX_KEY_BYTES} bytes`);
  return { kind: "bucket", bucket, prefix };
}
