import * as yauzl from "yauzl";
import type { ByteFile } from "./byte-file.ts";
import { asCheckpointError, CheckpointError, quoted } from "./checkpoint-error.ts";

/** A stored (uncompressed) entry of a zip archive: its bytes lie in the file as they are. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes from the start of the file. */
  readonly dataOffset: number;
  readonly size: number;
  readonly crc32: number;
  /** Start of the entry's local header and of its central directory record. */
  readonly localHeaderOffset: number;
  readonly centralRecordOffset: number;
  /** The CRC stands behind the data instead of in the local header (general purpose bit 3). */
  readonly hasDescriptor: boolean;
}

/** Far above the storages of any model; below what a directory could be made to cost. */
const MAX_ENTRIES = 20_000;
const UNICODE_PATH = 0x7075;
const DESCRIPTOR_FLAG = 0x8;
const END_SIGNATURES = [0x06054b50, 0x06064b50];

/**
 * The directory of a zip archive, checked: only stored, unencrypted entries with plain relative names, each named
 * once, headers that agree, and no two in one place. Reads headers only; throws `CheckpointError`.
 */
export async function readZipEntries(file: ByteFile): Promise<ReadonlyMap<string, ZipEntry>> {
  let zip: yauzl.ZipFile | undefined;
  try {
    zip = await yauzl.fromRandomAccessReaderPromise(new WindowReader(file), file.size, {
      autoClose: false,
      strictFileNames: true,
    });
    if (!(zip.entryCount <= MAX_ENTRIES))
      throw new CheckpointError(file.path, "zip directory", `more than ${MAX_ENTRIES} entries`);
    const directoryOffset = cursor(zip);
    const records: { entry: yauzl.Entry; end: number }[] = [];
    for await (const entry of zip.eachEntry()) records.push({ entry, end: cursor(zip) });
    await checkDirectoryEnd(file, cursor(zip));
    const entries = new Map<string, ZipEntry>();
    for (const { entry, end } of records) {
      if (entries.has(entry.fileName))
        throw new CheckpointError(file.path, `entry ${quoted(entry.fileName)}`, "occurs twice");
      entries.set(entry.fileName, await checkEntry(file, zip, entry, end));
    }
    checkOverlaps(file, [...entries.values()], directoryOffset);
    return entries;
  } catch (error) {
    throw asCheckpointError(error, file.path, "zip directory");
  } finally {
    zip?.close();
  }
}

/** Where yauzl reads the next directory record (its type declaration says boolean). */
const cursor = (zip: yauzl.ZipFile): number => Number(zip.readEntryCursor);

async function checkEntry(
  file: ByteFile,
  zip: yauzl.ZipFile,
  entry: yauzl.Entry,
  recordEnd: number,
): Promise<ZipEntry> {
  const name = entry.fileName;
  const refuse = (reason: string): never => {
    throw new CheckpointError(file.path, `entry ${quoted(name)}`, reason);
  };
  const recordBytes = 46 + entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
  if (!isPlainName(name)) refuse("its name is not a plain relative path");
  if (entry.isEncrypted()) refuse("is encrypted");
  if (entry.compressionMethod !== 0)
    refuse(
      `is compressed (method ${entry.compressionMethod}); torch.save stores without compression, and elibad reads weights in place`,
    );
  if (entry.extraFields.some(({ id }) => id === UNICODE_PATH))
    refuse("has a second name (Unicode path field)");
  const local = await zip.readLocalFileHeaderPromise(entry, { minimal: false });
  if (!local.fileName.equals(entry.fileNameRaw)) refuse("is named otherwise in its local header");
  if (local.compressionMethod !== 0 || (local.generalPurposeBitFlag & 0x41) !== 0)
    refuse("is compressed or encrypted by its local header");
  const hasDescriptor = (local.generalPurposeBitFlag & DESCRIPTOR_FLAG) !== 0;
  if (!hasDescriptor) {
    const zip64 = local.uncompressedSize === 0xffffffff;
    if (local.crc32 !== entry.crc32 || (!zip64 && local.uncompressedSize !== entry.uncompressedSize))
      refuse("its local header and the directory disagree on its size or CRC");
  }
  return {
    name,
    dataOffset: local.fileDataStart,
    size: entry.uncompressedSize,
    crc32: entry.crc32,
    localHeaderOffset: entry.relativeOffsetOfLocalHeader,
    centralRecordOffset: recordEnd - recordBytes,
    hasDescriptor,
  };
}

function isPlainName(name: string): boolean {
  if (name.length === 0 || name.length > 1024 || name.endsWith("/")) return false;
  if (/[\p{Cc}\\:]/u.test(name)) return false;
  return name.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

/** A directory that goes on behind its last counted entry would be read differently by other programs. */
async function checkDirectoryEnd(file: ByteFile, end: number): Promise<void> {
  const signature = (await file.read(end, 4, "zip directory")).readUInt32LE();
  if (!END_SIGNATURES.includes(signature))
    throw new CheckpointError(
      file.path,
      `byte ${end}`,
      "the zip directory does not end where its entry count says",
    );
}

function checkOverlaps(file: ByteFile, entries: ZipEntry[], directoryOffset: number): void {
  let end = 0;
  for (const entry of entries.sort((a, b) => a.localHeaderOffset - b.localHeaderOffset)) {
    if (entry.localHeaderOffset < end)
      throw new CheckpointError(file.path, `entry ${quoted(entry.name)}`, "overlaps the entry before it");
    end = entry.dataOffset + entry.size;
  }
  if (end > directoryOffset)
    throw new CheckpointError(file.path, "zip directory", "overlaps the data of an entry");
}

const WINDOW_BYTES = 4096;

/**
 * Gives yauzl its bytes: positions from the file are checked before they reach the system (one beyond 2⁵³ would
 * throw outside of any promise), and a directory of many small records costs few reads.
 */
class WindowReader extends yauzl.RandomAccessReader {
  private readonly file: ByteFile;
  private window: Buffer = Buffer.alloc(0);
  private windowOffset = 0;

  constructor(file: ByteFile) {
    super();
    this.file = file;
  }

  override read(
    target: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    this.fill(length, position).then(
      () => {
        const start = position - this.windowOffset;
        this.window.copy(target, offset, start, start + length);
        // Out of the promise chain, so that nothing that the callback throws is taken for a read error.
        setImmediate(callback, null, length);
      },
      (error: Error) => setImmediate(callback, error),
    );
  }

  private async fill(length: number, position: number): Promise<void> {
    const start = position - this.windowOffset;
    if (start >= 0 && start + length <= this.window.length) return;
    const wanted = Math.max(length, Math.min(WINDOW_BYTES, this.file.size - position));
    this.window = await this.file.read(position, wanted, "zip directory");
    this.windowOffset = position;
  }
}
