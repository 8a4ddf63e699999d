import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { BackupChunkMessage } from "../../proto/sweep-messages.ts";
import { backup } from "../store/backup.ts";
import type { Log } from "../store/log.ts";

const CHUNK_BYTES = 256 * 1024;

/** A backup of a log in pieces. It is a file in the folder until somebody has read it all. */
export async function* backupChunks(
  log: Pick<Log, "term" | "replay">,
  folder: string,
): AsyncGenerator<BackupChunkMessage> {
  const file = join(folder, `backup-${randomUUID()}.tmp`);
  try {
    await backup(log, file);
    for await (const data of createReadStream(file, { highWaterMark: CHUNK_BYTES }))
      yield { data: data as Buffer };
  } finally {
    await rm(file, { force: true });
  }
}
