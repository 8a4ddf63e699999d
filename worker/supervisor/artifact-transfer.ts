import { once } from "node:events";
import { createReadStream } from "node:fs";
import { status } from "@grpc/grpc-js";
import { ARTIFACT_CHUNK_BYTES } from "../../proto/artifact-layout.ts";
import type { CoordinatorClient } from "../../proto/client.ts";
import type { Digest } from "../../proto/operations.ts";
import type { ArtifactChunk, ArtifactSource } from "../cache/download.ts";
import { ArtifactCorruptError, ArtifactMissingError } from "../cache/errors.ts";

/** The coordinator's artifacts over `FetchArtifact`, on whatever stream the worker has at the moment. */
export class CoordinatorArtifacts implements ArtifactSource {
  readonly name = "the coordinator";
  client: CoordinatorClient | undefined;

  async *read(
    digest: Digest,
    range: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): AsyncIterable<ArtifactChunk> {
    if (!this.client) throw new Error("not connected");
    const call = this.client.fetchArtifact({ digest, ...range });
    const abort = () => call.cancel();
    signal.addEventListener("abort", abort, { once: true });
    try {
      for await (const chunk of call as AsyncIterable<ArtifactChunk>) yield chunk;
    } catch (error) {
      const code = (error as { code?: status }).code;
      if (code === status.NOT_FOUND || code === status.INVALID_ARGUMENT)
        throw new ArtifactMissingError(digest);
      if (code === status.OUT_OF_RANGE) {
        throw new ArtifactCorruptError(digest, this.name, `has fewer than ${range.offset} bytes`);
      }
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
      call.cancel();
    }
  }
}

/** Gives a file to the coordinator over `PutArtifact`. */
export async function uploadArtifact(
  client: CoordinatorClient,
  file: { readonly path: string; readonly digest: Digest },
): Promise<void> {
  let settle: (error?: unknown) => void = () => {};
  const answered = new Promise<void>((resolve, reject) => {
    settle = (error) => (error ? reject(error) : resolve());
  });
  answered.catch(() => {});
  const call = client.putArtifact((error) => settle(error));
  call.on("error", (error) => settle(error));
  let over = false;
  const gone = answered.finally(() => {
    over = true;
  });
  gone.catch(() => {});
  try {
    let digest = file.digest;
    for await (const data of createReadStream(file.path, { highWaterMark: ARTIFACT_CHUNK_BYTES })) {
      if (over) break;
      const room = call.write({ digest, data: data as Buffer });
      if (!room) await Promise.race([once(call, "drain"), gone]);
      digest = "";
    }
    call.end();
    await answered;
  } catch (error) {
    call.cancel();
    throw error;
  }
}
