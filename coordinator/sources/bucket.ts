import type { GetObjectCommandOutput, S3Client } from "@aws-sdk/client-s3";
import type { BucketSettings } from "./bucket-settings.ts";
import { SourceError, sourceText } from "./source.ts";

/** One version of an object. */
export interface BucketObject {
  readonly key: string;
  readonly etag: string;
  readonly bytes: number;
}

const CONNECT_MS = 5_000;
/** A server that sends nothing for so long has gone. */
const SILENCE_MS = 30_000;
/** More objects in one folder than a checkpoint has files. */
const MAX_OBJECTS = 10_000;

/** A bucket of an S3-compatible service, to read from. Errors name bucket and key. */
export class Bucket {
  readonly name: string;
  readonly #sdk: typeof import("@aws-sdk/client-s3");
  readonly #client: S3Client;

  private constructor(name: string, sdk: typeof import("@aws-sdk/client-s3"), client: S3Client) {
    this.name = name;
    this.#sdk = sdk;
    this.#client = client;
  }

  static async open(name: string, { endpoint, region, pathStyle }: BucketSettings): Promise<Bucket> {
    // What its next versions need of Node is no news for whoever runs this one.
    process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";
    // Loading it takes a third of a second, which whoever has no bucket is spared.
    const sdk = await import("@aws-sdk/client-s3");
    // Services beside AWS mostly ignore the region, and the SDK insists on one.
    const known = region ?? (endpoint === undefined ? undefined : (process.env.AWS_REGION ?? "us-east-1"));
    const client = new sdk.S3Client({
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(known === undefined ? {} : { region: known }),
      ...(pathStyle === undefined ? {} : { forcePathStyle: pathStyle }),
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: SILENCE_MS },
    });
    return new Bucket(name, sdk, client);
  }

  /** Objects whose keys are `prefix/` and a name without slashes. */
  async list(prefix: string, signal: AbortSignal): Promise<BucketObject[]> {
    const found: BucketObject[] = [];
    let token: string | undefined;
    do {
      const page = await this.#asked(prefix, () =>
        this.#client.send(
          new this.#sdk.ListObjectsV2Command({
            Bucket: this.name,
            Prefix: prefix === "" ? "" : `${prefix}/`,
            Delimiter: "/",
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
          { abortSignal: signal },
        ),
      );
      for (const { Key: key, ETag: etag, Size: bytes } of page.Contents ?? [])
        if (key !== undefined && etag !== undefined && bytes !== undefined) found.push({ key, etag, bytes });
      if (found.length > MAX_OBJECTS)
        throw new SourceError(`${this.#text(prefix)}: more than ${MAX_OBJECTS} objects lie there`);
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
    return found;
  }

  /** The object of a key. */
  async find(key: string, signal: AbortSignal): Promise<BucketObject> {
    const head = await this.#asked(key, () =>
      this.#client.send(new this.#sdk.HeadObjectCommand({ Bucket: this.name, Key: key }), {
        abortSignal: signal,
      }),
    );
    return { key, etag: head.ETag ?? "", bytes: head.ContentLength ?? 0 };
  }

  /** Bytes of this version of an object, in order. @throws SourceError where asking again is no help; else whatever broke the transfer */
  async *read(
    { key, etag }: BucketObject,
    { offset, length }: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const answer = await this.#asked(key, () =>
      this.#client.send(
        new this.#sdk.GetObjectCommand({
          Bucket: this.name,
          Key: key,
          IfMatch: etag,
          Range: `bytes=${offset}-${offset + length - 1}`,
        }),
        { abortSignal: signal },
      ),
    );
    this.#checkRange(key, offset, answer);
    for await (const chunk of answer.Body as AsyncIterable<Uint8Array>) yield chunk;
  }

  close(): void {
    this.#client.destroy();
  }

  /** A service that does not know ranges sends everything from the beginning. */
  #checkRange(key: string, offset: number, { ContentRange: range }: GetObjectCommandOutput): void {
    if (range?.startsWith(`bytes ${offset}-`)) return;
    throw new SourceError(
      `${this.#text(key)}: asked for bytes from ${offset} on, and got ${range === undefined ? "the whole object" : `'${range}'`}: the service must know ranges`,
    );
  }

  async #asked<T>(key: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (cause) {
      const { name } = cause as Error;
      if (name === "AbortError") throw cause;
      const reason = reasonOf(cause as ServiceProblem);
      if (reason === undefined) throw cause;
      throw new SourceError(`${this.#text(key)}: ${reason}`, { cause });
    }
  }

  #text(prefix: string): string {
    return sourceText({ kind: "bucket", bucket: this.name, prefix });
  }
}

type ServiceProblem = Error & {
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
};

/** What a user can do something about; undefined for what may pass by itself. The SDK has tried three times by then. */
function reasonOf({ name, message, code, $metadata }: ServiceProblem): string | undefined {
  const status = $metadata?.httpStatusCode;
  if (name === "NoSuchBucket") return "there is no such bucket";
  if (name === "NoSuchKey" || name === "NotFound" || status === 404) return "there is no such object";
  if (name === "CredentialsProviderError")
    return `no credentials for it in the coordinator's environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, …): ${message}`;
  if (status === 412) return "the object changed while it was read: retry the job";
  if (status === 401 || status === 403) return `access is refused (${name}): ${message}`;
  if (status === 301 || name === "PermanentRedirect")
    return `the bucket is in another region (${message}): name it with s3: region`;
  if (code === "ECONNREFUSED" || code === "ENOTFOUND") return `the service does not answer (${message})`;
  if (status !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 429)
    return `${name}: ${message}`;
  return undefined;
}
