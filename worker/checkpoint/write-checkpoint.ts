import { constants } from "node:fs";
import { chmod, copyFile, type FileHandle, open } from "node:fs/promises";
import { basename, join } from "node:path";
import { type ByteFile, withFile } from "./byte-file.ts";
import { CheckpointError, quoted } from "./checkpoint-error.ts";
import { crc32 } from "./crc32.ts";
import { encodeTensor } from "./encode-tensor.ts";
import { openWeightFile } from "./open-checkpoint.ts";
import { type FileToWrite, replaceFiles } from "./replace-files.ts";
import type { Checkpoint, TensorEntry } from "./tensor-entry.ts";
import { chunks } from "./verify-weights.ts";
import { readZipEntries, type ZipEntry } from "./zip-entries.ts";

/** Bytes that take the place of as many others. */
interface Patch {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * Writes a checkpoint's weight files (and index) into `folder` under their own names, with new values for some
 * tensors. Everything else stays byte for byte: container, shards, names and their order, shapes, dtypes, tied
 * storages, a wrapping dictionary. A file is copied by the system and then patched, so memory holds only the new
 * values. Names that share a storage change together. Appears by rename. Returns the paths written.
 *
 * Throws a `CheckpointError` where a name is unknown, values do not fit, or tied names get different values.
 */
export async function writeCheckpoint({
  source,
  replaced,
  folder,
}: {
  readonly source: Checkpoint;
  readonly replaced: ReadonlyMap<string, Float32Array>;
  readonly folder: string;
}): Promise<string[]> {
  const patches = tensorPatches(source, replaced);
  const written: FileToWrite[] = source.files.map((path) => ({
    path: join(folder, basename(path)),
    write: (temporary) => writePatched(source, path, patches.get(path) ?? [], temporary),
  }));
  const { index } = source;
  if (index !== undefined)
    written.push({ path: join(folder, basename(index)), write: (temporary) => copy(index, temporary) });
  await replaceFiles(written);
  return written.map(({ path }) => path);
}

/** New bytes by file, in ascending order; one patch for names that lie in one place. */
function tensorPatches(
  source: Checkpoint,
  replaced: ReadonlyMap<string, Float32Array>,
): ReadonlyMap<string, readonly Patch[]> {
  const byFile = new Map<string, (Patch & { entry: TensorEntry })[]>();
  for (const [name, values] of replaced) {
    const entry = source.tensors.get(name);
    if (entry === undefined)
      throw new CheckpointError(source.folder, `tensor ${quoted(name)}`, "is not in the checkpoint");
    const patch = { entry, offset: entry.offset, bytes: encodeTensor(entry, values, entry.file) };
    byFile.set(entry.file, [...(byFile.get(entry.file) ?? []), patch]);
  }
  for (const [path, patches] of byFile) {
    patches.sort((a, b) => a.offset - b.offset);
    const kept = patches.filter((patch, i) => {
      const before = patches[i - 1];
      if (before === undefined || before.offset + before.bytes.length <= patch.offset) return true;
      if (before.offset === patch.offset && Buffer.compare(before.bytes, patch.bytes) === 0) return false;
      throw new CheckpointError(
        path,
        `tensor ${quoted(patch.entry.name)}`,
        `shares its storage with ${quoted(before.entry.name)}, and their new values differ`,
      );
    });
    byFile.set(path, kept);
  }
  return byFile;
}

async function writePatched(
  source: Checkpoint,
  path: string,
  patches: readonly Patch[],
  temporary: string,
): Promise<void> {
  await copy(path, temporary);
  const all = source.container === "torch-zip" ? [...patches, ...(await crcPatches(path, patches))] : patches;
  const handle = await open(temporary, "r+");
  try {
    for (const patch of all) await writeAll(handle, patch);
  } finally {
    await handle.close();
  }
  await checkSameHeaders(source, path, temporary);
}

async function writeAll(handle: FileHandle, { offset, bytes }: Patch): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += (await handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
}

/** A reflink where the file system has them. The copy of a read-only file must be writable. */
async function copy(from: string, to: string): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  await chmod(to, 0o644);
}

/** The source may have been exchanged since it was opened: then the patches went to wrong places. */
async function checkSameHeaders(source: Checkpoint, path: string, temporary: string): Promise<void> {
  const written = await openWeightFile(temporary, source.container);
  for (const entry of source.tensors.values()) {
    if (entry.file !== path) continue;
    const copied = written.get(entry.name);
    if (JSON.stringify({ ...copied, file: path }) !== JSON.stringify(entry))
      throw new CheckpointError(
        path,
        `tensor ${quoted(entry.name)}`,
        "the file has changed since it was opened",
      );
  }
}

/** New CRC-32 fields of the archive's entries whose data is patched. The old ones are checked on the way. */
async function crcPatches(path: string, patches: readonly Patch[]): Promise<Patch[]> {
  return withFile(path, async (file) => {
    const fields: Patch[] = [];
    for (const entry of (await readZipEntries(file)).values()) {
      const inside = patches.filter(
        ({ offset }) => offset >= entry.dataOffset && offset < entry.dataOffset + entry.size,
      );
      if (inside.length === 0) continue;
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(await patchedCrc(file, entry, inside));
      fields.push(
        { offset: await localCrcOffset(file, entry), bytes },
        { offset: entry.centralRecordOffset + 16, bytes },
      );
    }
    return fields;
  });
}

async function patchedCrc(file: ByteFile, entry: ZipEntry, patches: readonly Patch[]): Promise<number> {
  let [before, after, at] = [0, 0, entry.dataOffset];
  for await (const chunk of chunks(file, at, entry.size, entry.name)) {
    before = crc32(chunk, before);
    for (const { offset, bytes } of patches) {
      const start = Math.max(offset, at);
      const end = Math.min(offset + bytes.length, at + chunk.length);
      if (start < end) chunk.set(bytes.subarray(start - offset, end - offset), start - at);
    }
    after = crc32(chunk, after);
    at += chunk.length;
  }
  if (before !== entry.crc32)
    throw new CheckpointError(
      file.path,
      `entry ${quoted(entry.name)}`,
      "its CRC-32 does not fit its bytes: the file is damaged",
    );
  return after;
}

const DESCRIPTOR_SIGNATURE = 0x08074b50;

/** Position of the CRC outside of the directory: in the local header, or behind the data with or without a signature. */
async function localCrcOffset(file: ByteFile, entry: ZipEntry): Promise<number> {
  if (!entry.hasDescriptor) return entry.localHeaderOffset + 14;
  const end = entry.dataOffset + entry.size;
  const descriptor = await file.read(end, 8, entry.name);
  const offset = descriptor.readUInt32LE(0) === DESCRIPTOR_SIGNATURE ? 4 : 0;
  if (descriptor.readUInt32LE(offset) !== entry.crc32)
    throw new CheckpointError(
      file.path,
      `byte ${end}`,
      `no data descriptor behind entry ${quoted(entry.name)}`,
    );
  return end + offset;
}
