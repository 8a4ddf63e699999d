import { type FileHandle, open } from "node:fs/promises";
import { asCheckpointError, CheckpointError } from "./checkpoint-error.ts";

/** An open file of known size that is read by exact ranges. */
export interface ByteFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Exactly `length` bytes at `offset`, or a `CheckpointError` at `place`. */
  read(offset: number, length: number, place: string): Promise<Buffer>;
  /** Fills `target` from `offset`. */
  readInto(target: Uint8Array, offset: number, place: string): Promise<void>;
}

/** Opens a file, gives it to `use`, and closes it. Anything but a regular file is refused. */
export async function withFile<T>(path: string, use: (file: ByteFile) => Promise<T>): Promise<T> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    throw asCheckpointError(error, path, "file");
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new CheckpointError(path, "file", "is not a regular file");
    return await use(byteFile(path, handle, stat.size));
  } finally {
    await handle.close();
  }
}

function byteFile(path: string, handle: FileHandle, size: number): ByteFile {
  async function readInto(target: Uint8Array, offset: number, place: string): Promise<void> {
    const end = offset + target.byteLength;
    if (!(offset >= 0 && end <= size)) {
      throw new CheckpointError(
        path,
        place,
        `bytes ${offset} to ${end} lie outside the file of ${size} bytes; it is truncated or damaged`,
      );
    }
    for (let done = 0; done < target.byteLength; ) {
      const { bytesRead } = await handle.read(target, done, target.byteLength - done, offset + done);
      if (bytesRead === 0)
        throw new CheckpointError(path, place, "the file became shorter while it was read");
      done += bytesRead;
    }
  }
  return {
    path,
    size,
    readInto,
    async read(offset, length, place) {
      if (!(length >= 0 && length <= size)) {
        throw new CheckpointError(path, place, `${length} bytes do not fit the file of ${size} bytes`);
      }
      const buffer = Buffer.allocUnsafe(length);
      await readInto(buffer, offset, place);
      return buffer;
    },
  };
}
