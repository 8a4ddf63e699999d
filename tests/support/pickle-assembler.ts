import { type OpcodeName, opcodes } from "../../worker/checkpoint/pickle-opcodes.ts";

export type Piece = OpcodeName | number | Uint8Array | { readonly text: string };

/** Bytes of opcodes and their arguments: a name is its opcode, a number one byte, text its UTF-8 bytes. */
export function assemble(...pieces: readonly Piece[]): Buffer {
  return Buffer.concat(pieces.map(bytesOf));
}

function bytesOf(piece: Piece): Uint8Array {
  if (piece instanceof Uint8Array) return piece;
  if (typeof piece === "number") return Uint8Array.of(piece);
  return typeof piece === "string" ? Uint8Array.of(opcodes[piece]) : Buffer.from(piece.text);
}

/** A pickle of protocol 2 from opcodes between PROTO and STOP. */
export const pickle = (...pieces: readonly Piece[]): Buffer => assemble("PROTO", 2, ...pieces, "STOP");

/** Pushes `module.name`. */
export const global = (module: string, name: string): Buffer =>
  assemble("GLOBAL", { text: `${module}\n${name}\n` });

/** Pushes a string. */
export function string(text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(text));
  return assemble("BINUNICODE", length, { text });
}

/** Pushes an integer of 32 bits. */
export function integer(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return assemble("BININT", bytes);
}

/** Pushes a tuple. */
export const tuple = (...items: readonly Buffer[]): Buffer => assemble("MARK", ...items, "TUPLE");

export interface TensorFields {
  readonly key?: string;
  readonly storageClass?: string;
  readonly storageSize?: number;
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly stride?: readonly number[];
  readonly hooks?: Buffer;
}

export const orderedDict: Buffer = assemble(global("collections", "OrderedDict"), "EMPTY_TUPLE", "REDUCE");

/** Pushes a tensor: two float32 numbers in the storage `data/0` unless told otherwise. */
export function tensor({
  key = "0",
  storageClass = "FloatStorage",
  storageSize = 2,
  offset = 0,
  shape = [2],
  stride = [1],
  hooks = orderedDict,
}: TensorFields = {}): Buffer {
  const storage = tuple(
    string("storage"),
    global("torch", storageClass),
    string(key),
    string("cpu"),
    integer(storageSize),
  );
  return assemble(
    global("torch._utils", "_rebuild_tensor_v2"),
    tuple(
      assemble(storage, "BINPERSID"),
      integer(offset),
      tuple(...shape.map(integer)),
      tuple(...stride.map(integer)),
      assemble("NEWFALSE"),
      hooks,
    ),
    "REDUCE",
  );
}

/** Pushes a dictionary of the given keys and values, each a piece that pushes one. */
export const dict = (...items: readonly Buffer[]): Buffer =>
  assemble("EMPTY_DICT", "MARK", ...items, "SETITEMS");
