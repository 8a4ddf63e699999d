import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, rm } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { ARTIFACT_CHUNK_BYTES, uploadFolder } from "../../proto/artifact-layout.ts";
import type { CoordinatorClient } from "../../proto/client.ts";
import type { ArtifactUpload } from "../../proto/messages.ts";
import type { Digest } from "../../proto/operations.ts";
import { sendAll } from "../../proto/send-all.ts";
import type { ArtifactChunk, ArtifactSource } from "../cache/download.ts";
import { ArtifactCorruptError, ArtifactMissingError } from "../cache/errors.ts";
import type { SharedFolder } from "../cache/transfers.ts";

/** The coordinator's artifacts over `FetchArtifact`, on whatever stream the worker has at the moment. */
export class CoordinatorArtifacts implements ArtifactSource {
  readonly name = "the coordinator";
  client: CoordinatorClient | undefined;

  /** Where an artifact lies on the volume of models; undefined where it does not. */
  locate(digest: Digest): Promise<string | undefined> {
    const { client } = this;
    if (!client) throw new Error("not connected");
    return new Promise((resolve, reject) => {
      client.locateArtifact({ digest }, (error, place) =>
        error ? reject(error) : resolve(place!.path === "" ? undefined : place!.path),
      );
    });
  }

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

/** A file of this worker, named by the digest of its bytes. */
interface OwnFile {
  readonly path: string;
  readonly digest: Digest;
}

/** Gives a file to the coordinator: as a link where both see the same folder, else over `PutArtifact`. */
export async function giveArtifact(
  client: CoordinatorClient,
  file: OwnFile,
  shared: SharedFolder | undefined,
): Promise<void> {
  if (shared && (await giveByLink(client, file, shared))) return;
  await putArtifact(client, dataOf(file));
}

/** False where the folder does not take the link, or the coordinator does not take the file from there. */
async function giveByLink(
  client: CoordinatorClient,
  { path, digest }: OwnFile,
  { folder, nonce }: SharedFolder,
): Promise<boolean> {
  const placed = `${randomUUID()}.placed`;
  const place = join(uploadFolder(folder, nonce), placed);
  try {
    await link(path, place);
    await putArtifact(client, [{ digest, data: new Uint8Array(), placed }]);
    return true;
  } catch {
    return false;
  } finally {
    // The coordinator has renamed it, unless it did not take it.
    await rm(place, { force: true });
  }
}

async function* dataOf({ path, digest }: OwnFile): AsyncGenerator<ArtifactUpload> {
  let first = digest;
  for await (const data of createReadStream(path, { highWaterMark: ARTIFACT_CHUNK_BYTES })) {
    yield { digest: first, data: data as Buffer, placed: "" };
    first = "";
  }
}

/** The digest is checked before the answer. */
const putArtifact = (
  client: CoordinatorClient,
  messages: AsyncIterable<ArtifactUpload> | Iterable<ArtifactUpload>,
): Promise<unknown> => sendAll((callback) => client.putArtifact(callback), messages);
