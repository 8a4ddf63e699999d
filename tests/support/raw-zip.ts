import { crc32 } from "../../worker/checkpoint/crc32.ts";

/** A zip entry with every field that a hostile writer could set. */
export interface RawEntry {
  readonly name: string;
  readonly data: Uint8Array;
  /** Name in the local header where it differs. */
  readonly localName?: string;
  /** 0 is stored. */
  readonly method?: number;
  readonly flags?: number;
  readonly crc?: number;
  /** Size that the directory says. */
  readonly size?: number;
  /** Size after compression or encryption where it differs. */
  readonly packedSize?: number;
  /** Position that the directory says: of another entry's local header, for example. */
  readonly localHeaderOffset?: number;
  /** Extra field of the directory record. */
  readonly extra?: Uint8Array;
  /** Unix mode of the file: 0o120777 is a symbolic link. */
  readonly mode?: number;
}

/** A zip archive of stored entries, field by field (PKWARE APPNOTE 4.3): what a library would not write. */
export function rawZip(
  entries: readonly RawEntry[],
  { count = entries.length }: { count?: number } = {},
): Buffer {
  const locals: Buffer[] = [];
  const records: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const { name, data, method = 0, flags = 0, extra = new Uint8Array() } = entry;
    const size = entry.size ?? data.length;
    const packedSize = entry.packedSize ?? size;
    const shared = { method, flags, crc: entry.crc ?? crc32(data), size, packedSize };
    const local = Buffer.concat([localHeader(Buffer.from(entry.localName ?? name), shared), data]);
    records.push(
      directoryRecord(Buffer.from(name), {
        ...{ ...shared, extra, mode: entry.mode ?? 0 },
        at: entry.localHeaderOffset ?? offset,
      }),
    );
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(records);
  return Buffer.concat([...locals, directory, endRecord(count, directory.length, offset)]);
}

interface Fields {
  readonly method: number;
  readonly flags: number;
  readonly crc: number;
  readonly size: number;
  readonly packedSize: number;
}

function localHeader(name: Buffer, { method, flags, crc, size, packedSize }: Fields): Buffer {
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(flags, 6);
  header.writeUInt16LE(method, 8);
  header.writeUInt32LE(crc, 14);
  header.writeUInt32LE(packedSize, 18);
  header.writeUInt32LE(size, 22);
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, name]);
}

function directoryRecord(
  name: Buffer,
  {
    method,
    flags,
    crc,
    size,
    packedSize,
    extra,
    mode,
    at,
  }: Fields & { extra: Uint8Array; mode: number; at: number },
): Buffer {
  const record = Buffer.alloc(46);
  record.writeUInt32LE(0x02014b50, 0);
  if (mode !== 0) record.writeUInt16LE(0x0314, 4); // made on Unix
  record.writeUInt16LE(mode, 40);
  record.writeUInt16LE(flags, 8);
  record.writeUInt16LE(method, 10);
  record.writeUInt32LE(crc, 16);
  record.writeUInt32LE(packedSize, 20);
  record.writeUInt32LE(size, 24);
  record.writeUInt16LE(name.length, 28);
  record.writeUInt16LE(extra.length, 30);
  record.writeUInt32LE(at, 42);
  return Buffer.concat([record, name, extra]);
}

function endRecord(count: number, directoryBytes: number, directoryOffset: number): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(directoryBytes, 12);
  end.writeUInt32LE(directoryOffset, 16);
  return end;
}
