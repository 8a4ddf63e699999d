import { createReadStream } from "node:fs";
import {
  type ServerReadableStream,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { ARTIFACT_CHUNK_BYTES, ARTIFACT_RANGE_BYTES } from "../../proto/artifact-layout.ts";
import type { ArtifactChunk, ArtifactRange, ArtifactStored, ArtifactUpload } from "../../proto/messages.ts";
import type { ArtifactStore } from "./artifact-store.ts";
import { drained } from "./drained.ts";
import { ArtifactError } from "./errors.ts";
import { UPLOAD_IDLE_MS, withIdleLimit } from "./idle-limit.ts";
import type { DispatchObserver } from "./observer.ts";

/** FetchArtifact: a range of one artifact, in chunks, as fast as the peer takes them. */
export async function fetchArtifact(
  call: ServerWritableStream<ArtifactRange, ArtifactChunk>,
  store: ArtifactStore,
  observer: Pick<DispatchObserver, "artifactMoved">,
): Promise<void> {
  const { digest, offset, length } = call.request;
  const artifact = await store.find(digest);
  if (!artifact) return refuse(call, status.NOT_FOUND, `no artifact ${digest.slice(0, 80)}`);
  const { path, bytes: totalBytes } = artifact;
  if (offset > totalBytes) {
    return refuse(call, status.OUT_OF_RANGE, `offset ${offset} is behind the end of ${totalBytes} bytes`);
  }
  const end = Math.min(totalBytes, offset + Math.min(length || ARTIFACT_RANGE_BYTES, ARTIFACT_RANGE_BYTES));
  if (end === offset) {
    // An empty range still tells the size.
    call.write({ data: new Uint8Array(), totalBytes });
    call.end();
    return;
  }
  try {
    const range = { start: offset, end: end - 1, highWaterMark: ARTIFACT_CHUNK_BYTES };
    for await (const data of createReadStream(path, range)) {
      if (call.cancelled) return;
      observer.artifactMoved("sent", (data as Buffer).length);
      if (!call.write({ data: data as Buffer, totalBytes })) await drained(call);
    }
    call.end();
  } catch (error) {
    refuse(call, status.DATA_LOSS, (error as Error).message);
  }
}

/** PutArtifact: stores what a worker sends, once its digest is found right. */
export async function putArtifact(
  call: ServerReadableStream<ArtifactUpload, ArtifactStored>,
  callback: sendUnaryData<ArtifactStored>,
  store: ArtifactStore,
  observer: Pick<DispatchObserver, "artifactMoved">,
): Promise<void> {
  try {
    const late = () => new ArtifactError(`nothing more came within ${UPLOAD_IDLE_MS / 1_000} s`);
    const messages = withIdleLimit(call[Symbol.asyncIterator](), UPLOAD_IDLE_MS, late);
    const first = await messages.next();
    if (first.done) throw new ArtifactError("the upload has no message");
    const { digest, placed } = first.value;
    if (placed === "") await store.uploads.receive(digest, bytesOf(first.value, messages, observer));
    else await store.uploads.takePlaced(digest, placed);
    callback(null, { digest });
  } catch (error) {
    const code = error instanceof ArtifactError ? status.INVALID_ARGUMENT : status.INTERNAL;
    callback({ code, details: (error as Error).message } as ServiceError);
  }
}

async function* bytesOf(
  first: ArtifactUpload,
  rest: AsyncIterator<ArtifactUpload>,
  observer: Pick<DispatchObserver, "artifactMoved">,
): AsyncGenerator<Uint8Array> {
  const received = ({ data }: ArtifactUpload): Uint8Array => {
    observer.artifactMoved("received", data.length);
    return data;
  };
  yield received(first);
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield received(next.value);
}

function refuse(
  call: ServerWritableStream<ArtifactRange, ArtifactChunk>,
  code: status,
  details: string,
): void {
  call.emit("error", { code, details });
}
