import { createReadStream } from "node:fs";
import { ARTIFACT_CHUNK_BYTES, ARTIFACT_RANGE_BYTES } from "../../proto/artifact-layout.ts";
import type { CoordinatorClient } from "../../proto/client.ts";
import { sendAll } from "../../proto/send-all.ts";
import {
  MAX_QUERIED_DIGESTS,
  type UploadHoldingMessage,
  type UploadHoldingsMessage,
  type UploadPartMessage,
} from "../../proto/upload-messages.ts";
import { onAbort } from "./command.ts";
import type { LeaderCalls } from "./leader-calls.ts";
import type { OutgoingFile } from "./local-files.ts";
import { answerOf } from "./sweep-client.ts";

/** Answers in a row that a file has not grown, after which it is given up. */
const MAX_STANDSTILLS = 20;

export interface SentFiles {
  /** Bytes that went over the wire now, and those that the coordinator had already. */
  readonly sentBytes: number;
  readonly knownBytes: number;
}

/**
 * Sends files that the coordinator does not have, from where an earlier attempt ended. What breaks is gone on with, at whoever leads then.
 *
 * @throws InputError where nobody answers; RemoteFailure where the coordinator refuses; the signal's reason
 */
export async function sendFiles(
  calls: Pick<LeaderCalls, "with">,
  files: readonly OutgoingFile[],
  { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes: (bytes: number) => void },
): Promise<SentFiles> {
  const distinct = [...new Map(files.map((file) => [file.digest, file])).values()];
  let [sentBytes, knownBytes] = [0, 0];
  for (let begin = 0; begin < distinct.length; begin += MAX_QUERIED_DIGESTS) {
    const some = distinct.slice(begin, begin + MAX_QUERIED_DIGESTS);
    const digests = some.map(({ digest }) => digest);
    const { holdings } = await calls.with((client) =>
      answerOf<UploadHoldingsMessage>((done) => client.findUploads({ digests }, done), signal),
    );
    for (const [k, file] of some.entries()) {
      const known = holdings[k]!;
      knownBytes += known.bytes;
      onBytes(known.bytes);
      sentBytes += await sendFile(calls, file, known, { signal, onBytes });
    }
  }
  return { sentBytes, knownBytes };
}

async function sendFile(
  calls: Pick<LeaderCalls, "with">,
  file: OutgoingFile,
  known: UploadHoldingMessage,
  { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes: (bytes: number) => void },
): Promise<number> {
  let holding = known;
  for (let standstills = 0; !holding.isWhole; ) {
    const offset = holding.bytes;
    holding = await calls.with((client) => sendRange(client, file, offset, signal));
    if (holding.bytes > offset || holding.isWhole) standstills = 0;
    else if (++standstills > MAX_STANDSTILLS)
      throw new Error(`${file.label}: the coordinator takes no more than ${offset} of ${file.bytes} bytes`);
    onBytes(holding.bytes - offset);
  }
  return holding.bytes - known.bytes;
}

async function sendRange(
  client: CoordinatorClient,
  file: OutgoingFile,
  offset: number,
  signal: AbortSignal,
): Promise<UploadHoldingMessage> {
  let cancel = () => {};
  const open: Parameters<typeof sendAll<UploadPartMessage, UploadHoldingMessage>>[0] = (callback) => {
    const call = client.upload(callback);
    cancel = () => call.cancel();
    onAbort(signal, cancel);
    return call;
  };
  try {
    return await sendAll(open, partsOf(file, offset));
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

async function* partsOf({ digest, bytes, content }: OutgoingFile, offset: number) {
  const end = Math.min(bytes, offset + ARTIFACT_RANGE_BYTES);
  yield { digest, totalBytes: bytes, offset, data: new Uint8Array() };
  const rest = { digest: "", totalBytes: 0, offset: 0 };
  if (end === offset) return;
  if (typeof content !== "string") {
    for (let at = offset; at < end; at += ARTIFACT_CHUNK_BYTES)
      yield { ...rest, data: content.subarray(at, Math.min(end, at + ARTIFACT_CHUNK_BYTES)) };
    return;
  }
  const range = { start: offset, end: end - 1, highWaterMark: ARTIFACT_CHUNK_BYTES };
  for await (const data of createReadStream(content, range)) yield { ...rest, data: data as Buffer };
}
