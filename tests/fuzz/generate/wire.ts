/** Messages as protobuf's wire format has them: fields in a tree, changed without asking a schema. */
import type protobuf from "protobufjs";
import { type Change, someChanges } from "./change.ts";

/** A field: a number (wire type 0), bytes of fixed width (1, 5), or bytes, which may be a message (2). */
type Field = { readonly number: number } & (
  | { readonly wire: 0; value: bigint }
  | { readonly wire: 1 | 5; value: Buffer }
  | { readonly wire: 2; value: Buffer | Field[] }
  /** A tag and what follows it, as they are. */
  | { readonly wire: "raw"; value: Buffer }
);

export type Wire = readonly Field[];

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

const tag = (number: number, wire: number): Buffer => varint((BigInt(number) << 3n) | BigInt(wire));

export function wireBytes(wire: Wire): Buffer {
  return Buffer.concat(
    wire.map((field) => {
      if (field.wire === "raw") return field.value;
      if (field.wire === 0) return Buffer.concat([tag(field.number, 0), varint(field.value)]);
      if (field.wire !== 2) return Buffer.concat([tag(field.number, field.wire), field.value]);
      const content = Buffer.isBuffer(field.value) ? field.value : wireBytes(field.value);
      return Buffer.concat([tag(field.number, 2), varint(BigInt(content.length)), content]);
    }),
  );
}

/** The fields of a valid message, messages inside of it as trees too. */
export function wireOf(bytes: Uint8Array, type: protobuf.Type): Field[] {
  const all = Buffer.from(bytes);
  const fields: Field[] = [];
  let at = 0;
  const read = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = all[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => {
    at += length;
    return all.subarray(at - length, at);
  };
  while (at < all.length) {
    const key = Number(read());
    const [number, wire] = [key >> 3, key & 7];
    if (wire === 0) fields.push({ number, wire, value: read() });
    else if (wire === 2) {
      const content = take(Number(read()));
      const inner = type.fieldsById[number]?.resolve().resolvedType;
      const isMessage = inner !== null && inner !== undefined && "fieldsById" in inner;
      fields.push({ number, wire, value: isMessage ? wireOf(content, inner) : content });
    } else fields.push({ number, wire: wire as 1 | 5, value: take(wire === 1 ? 8 : 4) });
  }
  return fields;
}

const NUMBERS = [
  0n,
  1n,
  2n,
  127n,
  128n,
  65_536n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

const CONTENTS = [
  Buffer.alloc(0),
  Buffer.from([0]),
  Buffer.from("a".repeat(64)),
  Buffer.from("A".repeat(64)),
  Buffer.from("../../x"),
  Buffer.from("/etc/passwd"),
  Buffer.from([0xff, 0xfe, 0xc3]),
  Buffer.from("\u001b[31m\u0000\n"),
  Buffer.from("__proto__"),
  Buffer.from("constructor"),
  Buffer.from("{}"),
  Buffer.alloc(10, 0x80),
  Buffer.alloc(5, 0xff),
  Buffer.alloc(300, 1),
  Buffer.alloc(12, 0xff),
  Buffer.from("x".repeat(3_000)),
];

/** Fields that no message has, or that are not finished. */
const STRAYS = [
  Buffer.concat([tag(1_000, 2), varint(3n), Buffer.from("abc")]),
  tag(3, 3),
  Buffer.concat([tag(3, 3), tag(3, 4)]),
  tag(3, 4),
  Buffer.concat([...Array<Buffer>(150).fill(tag(7, 3)), ...Array<Buffer>(150).fill(tag(7, 4))]),
  Buffer.concat([tag(1, 2), varint(2n ** 31n)]),
  Buffer.concat([tag(1, 0), Buffer.alloc(11, 0xff)]),
  tag(536_870_911, 0),
  Buffer.from([7]),
  Buffer.from([0, 0]),
];

export const wireChanges = someChanges(20, { min: 1, max: 4 });

const copyOf = (fields: Wire): Field[] =>
  fields.map((field) =>
    field.wire === 2 && !Buffer.isBuffer(field.value)
      ? { ...field, value: copyOf(field.value) }
      : { ...field },
  );

/** Every list of fields of a tree, with a place in it. */
function placesOf(fields: Field[], all: { readonly list: Field[]; readonly at: number }[]): void {
  for (const [at, field] of fields.entries()) {
    all.push({ list: fields, at });
    if (field.wire === 2 && !Buffer.isBuffer(field.value)) placesOf(field.value, all);
  }
}

export function changedWire(wire: Wire, changes: readonly Change[]): Buffer {
  const root = copyOf(wire);
  for (const { at, how, what } of changes) {
    const places: { readonly list: Field[]; readonly at: number }[] = [];
    placesOf(root, places);
    const place = places[at % Math.max(1, places.length)];
    if (place === undefined) root.push(stray(what));
    else changePlace(place, { how, what }, places);
  }
  return wireBytes(root);
}

const stray = (what: number): Field => ({ number: 0, wire: "raw", value: STRAYS[what % STRAYS.length]! });

function changePlace(
  { list, at }: { readonly list: Field[]; readonly at: number },
  { how, what }: Omit<Change, "at">,
  places: readonly { readonly list: Field[]; readonly at: number }[],
): void {
  const field = list[at]!;
  const content = CONTENTS[what % CONTENTS.length]!;
  const number = NUMBERS[what % NUMBERS.length]!;
  if (how < 2) list.splice(at, 1);
  else if (how < 4) list.splice(at, 0, ...copyOf(Array<Field>(1 + (what % 40)).fill(field)));
  else if (how === 4) list[at] = { ...field, number: 1 + (what % 12) };
  else if (how === 5) list.splice(at, 0, stray(what));
  else if (how === 6) list[at] = { number: field.number, wire: 0, value: number };
  else if (how === 7) list[at] = { number: field.number, wire: 2, value: content };
  else if (how === 8) list[at] = { number: field.number, wire: 5, value: Buffer.alloc(4, what) };
  else if (how === 9)
    list[at] = { number: field.number, wire: 1, value: Buffer.from("000000000000f87f", "hex") };
  else if (how === 10) {
    const other = places[what % places.length]!;
    list[at] = copyOf([other.list[other.at]!])[0]!;
  } else if (field.wire === 0) field.value = number;
  else if (field.wire === 2) list[at] = { ...field, value: changedContent(field.value, content, what) };
  else if (field.wire !== "raw") field.value = Buffer.alloc(field.value.length, what);
}

function changedContent(value: Buffer | Field[], content: Buffer, what: number): Buffer | Field[] {
  if (!Buffer.isBuffer(value)) return what % 2 === 0 ? [] : [...value, ...copyOf(value)];
  if (what % 3 === 0) return content;
  if (what % 3 === 1) return value.subarray(0, what % (value.length + 1));
  return Buffer.concat([value, content]);
}

/** A message's field so many times: two bytes each where it is empty. */
export const emptyFields = (number: number, count: number): Buffer =>
  Buffer.alloc(2 * count, Buffer.concat([tag(number, 2), varint(0n)]));
