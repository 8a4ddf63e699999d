/** Changes of bytes that know nothing of what they are. */
import fc from "fast-check";
import type { Files } from "../parser.ts";

export interface ByteChange {
  readonly at: number;
  readonly how: number;
  readonly value: number;
  readonly length: number;
}

const byteChange: fc.Arbitrary<ByteChange> = fc.record({
  at: fc.nat(0xffffff),
  how: fc.nat(9),
  value: fc.nat(255),
  length: fc.nat(64),
});

/** Mostly none, so that what was done to the structure is what is tried. */
export const byteChanges: fc.Arbitrary<readonly ByteChange[]> = fc.oneof(
  { weight: 6, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(byteChange, { minLength: 1, maxLength: 3 }) },
);

const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x22, 0x5c, 0x7b, 0x5b, 0x0a];

export function changedBytes(bytes: Uint8Array, changes: readonly ByteChange[]): Uint8Array {
  let now = Buffer.from(bytes);
  for (const { at, how, value, length } of changes) {
    const place = at % (now.length + 1);
    const [before, after] = [now.subarray(0, place), now.subarray(place)];
    if (how < 3) now[Math.min(place, now.length - 1)]! ^= 1 << (value % 8);
    else if (how < 5) now[Math.min(place, now.length - 1)] = EDGES[value % EDGES.length]!;
    else if (how === 5) now = Buffer.concat([before, after.subarray(length)]);
    else if (how === 6) now = Buffer.concat([before, Buffer.alloc(length, value), after]);
    else if (how === 7) now = Buffer.concat([before, after.subarray(0, length), after]);
    else if (how === 8) now = Buffer.from(before);
    else now.fill(0xff, place, Math.min(place + 8, now.length));
  }
  return now;
}

/** The bytes of one of the files changed. */
export function changedFile(files: Files, which: number, changes: readonly ByteChange[]): Files {
  if (changes.length === 0) return files;
  const names = Object.keys(files);
  const name = names[which % names.length]!;
  return { ...files, [name]: changedBytes(files[name]!, changes) };
}
