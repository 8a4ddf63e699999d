import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Logger } from "pino";
import {
  MAX_QUERIED_DIGESTS,
  type UploadPartMessage,
  type UploadQueryMessage,
} from "../../proto/upload-messages.ts";
import { UPLOAD_IDLE_MS, withIdleLimit } from "../dispatch/idle-limit.ts";
import { UploadError, type UploadStore } from "../sources/upload-store.ts";
import { collecting, unary } from "./calls.ts";

/** The calls about uploads, by their names in the service. */
export function uploadCalls(
  store: Pick<UploadStore, "holding" | "append">,
  logger: Pick<Logger, "error">,
): UntypedServiceImplementation {
  return {
    FindUploads: unary(async ({ digests }: UploadQueryMessage) => {
      if (digests.length > MAX_QUERIED_DIGESTS)
        throw new UploadError(`${digests.length} digests in one query: at most ${MAX_QUERIED_DIGESTS}`);
      const holdings = [];
      for (const digest of digests) holdings.push(await store.holding(digest));
      return { holdings };
    }, logger),
    Upload: collecting(async (messages: AsyncIterable<UploadPartMessage>) => {
      const late = () => new UploadError(`nothing more came within ${UPLOAD_IDLE_MS / 1_000} s`);
      const parts = withIdleLimit(messages[Symbol.asyncIterator](), UPLOAD_IDLE_MS, late);
      const first = await parts.next();
      if (first.done) throw new UploadError("the upload has no message");
      return store.append(first.value, dataOf(first.value, parts));
    }, logger),
  };
}

async function* dataOf(
  first: UploadPartMessage,
  rest: AsyncIterator<UploadPartMessage>,
): AsyncGenerator<Uint8Array> {
  yield first.data;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value.data;
}
