/** Pickles as lists of opcodes with their arguments, changed opcode by opcode. */
import { type OpcodeName, opcodeName, opcodes } from "../../../worker/checkpoint/pickle-opcodes.ts";
import { assemble, global, integer, string } from "../../support/pickle-assembler.ts";
import { type Change, someChanges } from "./change.ts";

/** Bytes of arguments: a number of them, a length of so many bytes before them, or lines. */
type Argument = number | { readonly prefix: 1 | 4 | 8 } | { readonly lines: number };

const ARGUMENTS: Partial<Record<OpcodeName, Argument>> = {
  PROTO: 1,
  FRAME: 8,
  BININT: 4,
  BININT1: 1,
  BININT2: 2,
  BINFLOAT: 8,
  BINPUT: 1,
  BINGET: 1,
  LONG_BINPUT: 4,
  LONG_BINGET: 4,
  EXT1: 1,
  EXT2: 2,
  EXT4: 4,
  LONG1: { prefix: 1 },
  LONG4: { prefix: 4 },
  SHORT_BINUNICODE: { prefix: 1 },
  SHORT_BINSTRING: { prefix: 1 },
  SHORT_BINBYTES: { prefix: 1 },
  BINUNICODE: { prefix: 4 },
  BINSTRING: { prefix: 4 },
  BINBYTES: { prefix: 4 },
  BINUNICODE8: { prefix: 8 },
  BINBYTES8: { prefix: 8 },
  BYTEARRAY8: { prefix: 8 },
  GLOBAL: { lines: 2 },
  INST: { lines: 2 },
  PERSID: { lines: 1 },
  INT: { lines: 1 },
  FLOAT: { lines: 1 },
  LONG: { lines: 1 },
  STRING: { lines: 1 },
  UNICODE: { lines: 1 },
  GET: { lines: 1 },
  PUT: { lines: 1 },
};

/** A pickle's opcodes, each with its argument. */
export function disassemble(pickle: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < pickle.length; at += pieces.at(-1)!.length) {
    const name = opcodeName(pickle[at]!);
    pieces.push(pickle.subarray(at, at + 1 + argumentBytes(pickle, at + 1, name && ARGUMENTS[name])));
  }
  return pieces;
}

function argumentBytes(pickle: Buffer, at: number, argument: Argument = 0): number {
  if (typeof argument === "number") return argument;
  if ("prefix" in argument) {
    const length =
      argument.prefix === 8 ? Number(pickle.readBigUInt64LE(at)) : pickle.readUIntLE(at, argument.prefix);
    return argument.prefix + length;
  }
  let end = at;
  for (let line = 0; line < argument.lines; line++) end = pickle.indexOf(0x0a, end) + 1;
  return end - at;
}

/** Names whose look-up would be the beginning of an attack, and some that look like allowed ones. */
export const CANARIES: readonly (readonly [module: string, name: string])[] = [
  ["os", "system"],
  ["posix", "system"],
  ["nt", "system"],
  ["subprocess", "Popen"],
  ["builtins", "eval"],
  ["builtins", "exec"],
  ["builtins", "__import__"],
  ["builtins", "getattr"],
  ["__builtin__", "eval"],
  ["runpy", "_run_code"],
  ["torch", "load"],
  ["torch.hub", "load"],
  ["torch", "FloatStorage.__init__"],
  ["torch._utils", "_rebuild_tensor_v2.__globals__"],
  ["torch._utils", "_rebuild_tensor"],
  ["torch.storage", "_load_from_bytes"],
  ["collections", "OrderedDict.__reduce__"],
  ["collections", "defaultdict"],
  ["constructor", "constructor"],
  ["__proto__", "polluted"],
  ["toString", "call"],
  ["globalThis", "eval"],
  ["process", "exit"],
  ["node:child_process", "spawn"],
  ["", ""],
  ["torch.FloatStorage", ""],
  ["numpy.core.multiarray", "_reconstruct"],
  ["_codecs", "encode"],
];

const integers = [0, 1, 2, -1, 3, 127, 255, 65_535, 2 ** 31 - 1, -(2 ** 31)];
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const long8 = Buffer.from("ffffffffffffff7f", "hex");

/** Pieces that are put in or in the place of others. */
const PIECES: readonly Buffer[] = [
  ...CANARIES.map(([module, name]) => global(module, name)),
  ...CANARIES.map(([module, name]) => assemble(string(module), string(name), "STACK_GLOBAL")),
  ...CANARIES.map(([module, name]) =>
    assemble("MARK", string("true"), "INST", { text: `${module}\n${name}\n` }),
  ),
  ...CANARIES.slice(0, 8).map(([module, name]) =>
    assemble(global(module, name), string("true"), "TUPLE1", "REDUCE"),
  ),
  ...["FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "float32"].map((name) =>
    global("torch", name),
  ),
  global("torch._utils", "_rebuild_tensor_v2"),
  global("torch._utils", "_rebuild_parameter"),
  ...integers.map(integer),
  assemble("LONG1", 8, long8),
  assemble("LONG1", 0),
  assemble("BINFLOAT", Buffer.from("7ff8000000000000", "hex")),
  ...["0", "1", "9".repeat(19), "-1", "../x", "0\u00001", "é", "a".repeat(70_000)].map(string),
  assemble("BINUNICODE", u32(0xffffffff)),
  assemble("LONG_BINPUT", u32(0x7fffffff)),
  assemble("LONG_BINGET", u32(499_999)),
  assemble("FRAME", long8),
  Buffer.concat(Array<Buffer>(999).fill(assemble("MARK"))),
  Buffer.concat(Array<Buffer>(5_000).fill(assemble("EMPTY_DICT"))),
  Buffer.concat(Array<Buffer>(2_000).fill(assemble("BINPUT", 0, "BINGET", 0, "TUPLE2"))),
];

const CODES = Object.keys(opcodes) as OpcodeName[];

export const pickleChanges = someChanges(10, { min: 0, max: 4 });

/** The first piece, PROTO, stays: without it nothing else is read. */
export function changedPickle(pieces: readonly Buffer[], changes: readonly Change[]): Buffer {
  const now = [...pieces];
  for (const { at, how, what } of changes) {
    const place = 1 + (at % Math.max(1, now.length - 1));
    const piece = PIECES[what % PIECES.length]!;
    const code = assemble(CODES[what % CODES.length]!);
    if (how < 2) now.splice(place, 0, piece);
    else if (how < 4) now[place] = piece;
    else if (how === 4) now.splice(place, 1);
    else if (how === 5) now.splice(place, 0, code);
    else if (how === 6) now[place] = code;
    else if (how === 7) now.splice(place, 0, ...now.slice(place, place + 1 + (what % 8)));
    else if (how === 8) now[place] = now[1 + (what % Math.max(1, now.length - 1))] ?? piece;
    else now[place] = otherArgument(now[place] ?? piece, what);
  }
  return Buffer.concat(now);
}

/** The same opcode with one byte of its argument changed. */
function otherArgument(piece: Buffer, what: number): Buffer {
  if (piece.length < 2) return piece;
  const changed = Buffer.from(piece);
  changed[1 + (what % (piece.length - 1))] = what >> 8;
  return changed;
}
