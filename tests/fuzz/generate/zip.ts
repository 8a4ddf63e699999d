/** Zip archives of fields that contradict each other. */
import { type RawEntry, rawZip } from "../../support/raw-zip.ts";
import { type Change, someChanges } from "./change.ts";

const NAMES = [
  ...[
    "archive/../../x",
    "../x",
    "/etc/x",
    "archive//x",
    "archive/./x",
    "archive\\x",
    "C:/x",
    "archive/x\0y",
    "x",
  ],
  ...[
    "archive/data/0",
    "archive/data.pkl",
    "other/data.pkl",
    "archive/x/",
    "",
    "archive/data/é",
    "archive/\u202ex",
  ],
  ...[
    "archive/data/0/1",
    "archive/.data/0",
    `archive/${"a".repeat(1_100)}`,
    "ARCHIVE/DATA/0",
    "archive/\u001b[2J",
  ],
];
const SIZES = [0, 1, 7, 8, 9, 64, 0xffff, 0x7fffffff, 0xfffffffe, 0xffffffff];

/** An extra field of one record. */
function extra(id: number, ...numbers: bigint[]): Buffer {
  const field = Buffer.alloc(4 + 8 * numbers.length);
  field.writeUInt16LE(id, 0);
  field.writeUInt16LE(8 * numbers.length, 2);
  for (const [k, number] of numbers.entries()) field.writeBigUInt64LE(BigInt.asUintN(64, number), 4 + 8 * k);
  return field;
}
const EXTRAS = [
  extra(1, 8n, 8n, 0n),
  extra(1, 2n ** 63n, 2n ** 63n, 2n ** 63n),
  extra(1, -1n, 8n),
  extra(1),
  extra(0x7075, 1n),
  extra(0x9901, 1n),
  Buffer.from([1, 0, 255, 255]),
  Buffer.from([1]),
  Buffer.alloc(65_000, 1),
];

export const zipChanges = someChanges(18, { min: 0, max: 3 });

/** The archive of the entries after some changes. */
export function changedZip(entries: readonly RawEntry[], changes: readonly Change[]): Buffer {
  const now = [...entries];
  let count: number | undefined;
  for (const { at: entry, how, what } of changes) {
    const at = entry % now.length;
    const old = now[at]!;
    const size = SIZES[what % SIZES.length]!;
    const other = now[what % now.length]!;
    const changed = (fields: Partial<RawEntry>): void => {
      now[at] = { ...old, ...fields };
    };
    switch (how) {
      case 0:
        changed({ name: NAMES[what % NAMES.length]! });
        break;
      case 1:
        changed({ localName: NAMES[what % NAMES.length]! });
        break;
      case 2:
        changed({ method: [8, 1, 12, 14, 93, 99][what % 6]! });
        break;
      case 3:
        changed({ flags: 1 << (what % 16) });
        break;
      case 4:
        changed({ crc: what });
        break;
      case 5:
        changed({ size });
        break;
      case 6:
        changed({ packedSize: size });
        break;
      case 7:
        changed({ size, packedSize: size, extra: EXTRAS[what % EXTRAS.length]! });
        break;
      case 8:
        changed({ localHeaderOffset: [0, 1, 30, what, 0x7fffffff, 0xffffffff][what % 6]! });
        break;
      case 9:
        changed({ extra: EXTRAS[what % EXTRAS.length]! });
        break;
      case 10:
        changed({ mode: [0o120777, 0o040755, 0o060600, 0o104755][what % 4]! });
        break;
      case 11:
        now.push(old);
        break;
      case 12:
        now.push({ name: NAMES[what % NAMES.length]!, data: other.data });
        break;
      case 13:
        now.splice(at, 1);
        if (now.length === 0) now.push(old);
        break;
      case 14:
        now.reverse();
        break;
      case 15:
        changed({ data: other.data });
        break;
      case 16:
        // A symbolic link whose text leads out of the folder.
        now.push({ name: "archive/data/1", data: Buffer.from("../../../etc/passwd"), mode: 0o120777 });
        break;
      default:
        count = [0, 1, now.length - 1, now.length + 1, 20_001, 65_534, 65_535][what % 7]!;
    }
  }
  return rawZip(now, count === undefined ? {} : { count });
}

/** A bomb: so many entries that all say to be the same bytes. */
export function overlapping(entries: number, data: Uint8Array): Buffer {
  const one: RawEntry = { name: "archive/data/0", data };
  const others = Array.from({ length: entries - 1 }, (_, k): RawEntry => {
    return { name: `archive/data/${k + 1}`, data: new Uint8Array(), size: data.length, localHeaderOffset: 0 };
  });
  return rawZip([one, ...others]);
}
