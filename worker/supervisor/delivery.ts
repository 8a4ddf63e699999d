import type { Digest } from "../../proto/operations.ts";
import type { ArtifactCache } from "../cache/artifact-cache.ts";
import type { Clock } from "../clock.ts";
import type { Publisher } from "../outbox/nats-publisher.ts";
import type { Outbox, OutboxResult } from "../outbox/outbox.ts";
import { removeResult } from "../outbox/result-folder.ts";
import { giveArtifact } from "./artifact-transfer.ts";
import type { CoordinatorStream } from "./coordinator-stream.ts";

/** Sends what is in the outbox, over NATS where there is one and it takes it, else over the worker's stream. */
export class Delivery {
  readonly #outbox: Outbox;
  readonly #cache: Pick<ArtifactCache, "adopt" | "forget" | "sharedFolder">;
  readonly #clock: Clock;
  readonly #log: (message: string) => void;
  /** Uploads by result, so that a result which is sent again on the same stream is not uploaded again. */
  readonly #uploads = new Map<Digest, Promise<void>>();
  #stream: CoordinatorStream | undefined;
  #publisher: () => Publisher | undefined = () => undefined;

  constructor(
    outbox: Outbox,
    cache: Pick<ArtifactCache, "adopt" | "forget" | "sharedFolder">,
    clock: Clock,
    log: (message: string) => void,
  ) {
    this.#outbox = outbox;
    this.#cache = cache;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * A stream began: everything that was not accepted goes over it, whatever became of it before.
   *
   * @param publisher the way to NATS at the moment, where there is one
   */
  attach(stream: CoordinatorStream, publisher: () => Publisher | undefined): void {
    this.#stream = stream;
    this.#publisher = publisher;
    this.#uploads.clear();
    for (const result of this.#outbox.all()) this.send(result, "stream");
  }

  /** The worker is about to leave: all goes over the stream from now on, since a broker that hangs says nothing before it is too late. */
  hurry(): void {
    this.#publisher = () => undefined;
    for (const result of this.#outbox.all()) this.send(result, "stream");
  }

  detach(): void {
    this.#stream = undefined;
  }

  /** Sends what waits for too long. */
  resendOverdue(): void {
    for (const result of this.#outbox.overdue(this.#clock.now())) {
      this.#log(`the result ${result.fingerprint.slice(0, 12)} was not accepted, sending it again`);
      this.send(result, "stream");
    }
  }

  /** Sends a result that is in the outbox. A failure is no error: what is not accepted is sent again. */
  send(result: OutboxResult, way: "usual" | "stream"): void {
    const stream = this.#stream;
    if (!stream) return;
    const attempt = this.#outbox.sending(result.fingerprint, this.#clock.now());
    const broker = way === "usual" ? this.#publisher() : undefined;
    const publisher = broker?.isConnected ? broker : undefined;
    if (result.files.length > 0 || publisher) void this.#sendSlowly(result, stream, publisher, attempt);
    else stream.sendResult(result.envelope);
  }

  /** The coordinator has the result: its files are not needed any more, nor is what it replaces. */
  async accepted(fingerprint: Digest): Promise<void> {
    this.#uploads.delete(fingerprint);
    const result = this.#outbox.accept(fingerprint);
    await this.drop(result);
    for (const digest of result?.replaces ?? []) await this.#cache.forget(digest);
  }

  async drop(result: OutboxResult | undefined): Promise<void> {
    for (const { path } of result?.files ?? []) await removeResult(path);
  }

  async #sendSlowly(
    result: OutboxResult,
    stream: CoordinatorStream,
    publisher: Publisher | undefined,
    attempt: number,
  ): Promise<void> {
    try {
      await this.#upload(result, stream);
    } catch (error) {
      this.#log(`the result ${result.fingerprint.slice(0, 12)} was not taken: ${(error as Error).message}`);
      return;
    }
    if (await publisher?.publish(result.fingerprint, result.envelope, attempt)) return;
    stream.sendResult(result.envelope);
  }

  #upload({ fingerprint, files }: OutboxResult, stream: CoordinatorStream): Promise<void> {
    if (files.length === 0) return Promise.resolve();
    const running = this.#uploads.get(fingerprint);
    if (running) return running;
    const upload = this.#give(files, stream);
    this.#uploads.set(fingerprint, upload);
    upload.catch(() => this.#uploads.delete(fingerprint));
    return upload;
  }

  /** Artifacts stay in the cache, too: the next operation may begin where this one ended. */
  async #give(files: OutboxResult["files"], { client }: CoordinatorStream): Promise<void> {
    // Moments that are all 0 are one artifact.
    const distinct = new Map(files.map((file) => [file.digest, file]));
    for (const file of distinct.values()) {
      if (file.isArtifact) await this.#cache.adopt(file.digest, file.path);
      await giveArtifact(client, file, this.#cache.sharedFolder);
    }
  }
}
