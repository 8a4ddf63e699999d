import zlib from "node:zlib";

/** CRC-32 of `bytes`, going on from `value` (0 at the start), as zip archives use it. */
export const crc32: (bytes: Uint8Array, value?: number) => number = zlib.crc32 ?? tableCrc32;

let table: Uint32Array | undefined;

/** For Node before 20.15, whose zlib has no `crc32`. */
export function tableCrc32(bytes: Uint8Array, value = 0): number {
  table ??= Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    return crc;
  });
  let crc = ~value;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}
