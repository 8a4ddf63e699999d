import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../../worker/checkpoint/checkpoint-error.ts";
import { opcodes } from "../../../worker/checkpoint/pickle-opcodes.ts";
import { openTorchZip } from "../../../worker/checkpoint/torch-zip.ts";
import { cpuSeconds } from "../../support/cpu-seconds.ts";
import {
  assemble,
  dict,
  global,
  integer,
  pickle,
  string,
  tensor,
  tuple,
} from "../../support/pickle-assembler.ts";
import { type RawEntry, rawZip } from "../../support/raw-zip.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const repeat = (count: number, piece: Buffer): Buffer => Buffer.concat(Array<Buffer>(count).fill(piece));

const data = Buffer.from(Float32Array.of(1, 2).buffer);
const good = pickle(dict(string("weight"), tensor()));

const archive = (pickled: Buffer = good): RawEntry[] => [
  { name: "archive/data.pkl", data: pickled },
  { name: "archive/byteorder", data: Buffer.from("little") },
  { name: "archive/data/0", data },
];

/** Opens the bytes as a torch file; the error, which must be a `CheckpointError` and cost less than two seconds of processor time. */
async function refusal(bytes: Uint8Array): Promise<CheckpointError> {
  const path = join(tempFolder(), "model.bin");
  writeFileSync(path, bytes);
  let error: unknown;
  const seconds = await cpuSeconds(async () => {
    error = await openTorchZip(path).catch((reason: unknown) => reason);
  });
  expect(error).toBeInstanceOf(CheckpointError);
  expect((error as CheckpointError).file).toBe(path);
  expect(seconds).toBeLessThan(2);
  return error as CheckpointError;
}

test("the archive that the tables below spoil is accepted as it is", async () => {
  const path = join(tempFolder(), "model.bin");
  writeFileSync(path, rawZip(archive()));
  expect((await openTorchZip(path)).get("weight")).toMatchObject({ shape: [2], byteLength: 8 });
});

describe("a pickle that is more or less than a state dict", () => {
  const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
  const cases: Record<string, [Buffer, RegExp]> = {
    "a global that runs commands": [
      pickle(global("os", "system"), tuple(string("true")), "REDUCE"),
      /data\.pkl byte 2: the global "os\.system" is not allowed/,
    ],
    "the same with protocol 4": [
      assemble("PROTO", 4, string("posix"), string("system"), "STACK_GLOBAL", "STOP"),
      /byte 23: the global "posix\.system" is not allowed/,
    ],
    "a global named to look like an allowed one": [
      pickle(global("torch", "FloatStorage.__init__")),
      /"torch\.FloatStorage\.__init__" is not allowed/,
    ],
    "a prototype's member as a global": [
      pickle(global("constructor", "constructor")),
      /global "constructor\.constructor" is not allowed/,
    ],
    "a call of an allowed name that is no function": [
      pickle(global("torch", "FloatStorage"), tuple(integer(4)), "REDUCE"),
      /REDUCE of torch\.FloatStorage is not allowed/,
    ],
    "a call of a string": [pickle(string("eval"), tuple(), "REDUCE"), /REDUCE of string is not allowed/],
    "an instance (INST)": [pickle("MARK", "INST", { text: "os\nsystem\n" }), /opcode INST is not allowed/],
    "an object (OBJ)": [pickle("MARK", global("torch", "float16"), "OBJ"), /opcode OBJ is not allowed/],
    "a new object (NEWOBJ)": [
      pickle(global("torch", "float16"), "EMPTY_TUPLE", "NEWOBJ"),
      /opcode NEWOBJ is not allowed/,
    ],
    "an extension code": [pickle("EXT1", 1), /opcode EXT1 is not allowed/],
    "a persistent id as text": [pickle("PERSID", { text: "x\n" }), /opcode PERSID is not allowed/],
    "an out-of-band buffer": [
      assemble("PROTO", 5, "NEXT_BUFFER", "STOP"),
      /opcode NEXT_BUFFER is not allowed/,
    ],
    "a state for a plain dict": [
      pickle(dict(), dict(string("__class__"), integer(1)), "BUILD"),
      /BUILD of dict with dict is not allowed/,
    ],
    "a byte that is no opcode": [pickle(Buffer.from([0xff])), /unknown opcode 0xff/],
    "protocol 1": [assemble("EMPTY_DICT", "STOP"), /does not start with PROTO/],
    "protocol 6": [assemble("PROTO", 6, "EMPTY_DICT", "STOP"), /protocol 6 is not between 2 and 5/],
    "no end": [assemble("PROTO", 2, "EMPTY_DICT"), /the pickle ends here/],
    "bytes behind the end": [assemble(good, Buffer.from("cos\nsystem\n")), /11 bytes follow STOP/],
    "two values": [pickle("NONE", "NONE"), /STOP with 1 further values/],
    "nothing on the stack": [pickle(), /the stack is empty/],
    "a pop below an open mark": [pickle("NONE", "MARK", "TUPLE1"), /the stack is empty/],
    "a tuple without a mark": [pickle("TUPLE"), /no open mark/],
    "a memo that was never set": [pickle("BINGET", 7), /memo 7 was never set/],
    "a memo index that asks for gigabytes": [
      pickle("NONE", "LONG_BINPUT", u32(0x7fffffff)),
      /memo index: 2147483647 is above the limit/,
    ],
    "marks in marks in marks": [
      pickle(repeat(100_000, assemble("MARK"))),
      /open marks: 1001 is above the limit/,
    ],
    "a full stack": [pickle(repeat(300_000, assemble("NONE"))), /stack: 200001 is above the limit/],
    "containers without number": [
      pickle("EMPTY_LIST", repeat(3, assemble("MARK", repeat(100_000, assemble("EMPTY_DICT")), "APPENDS"))),
      /containers: 250001 is above the limit/,
    ],
    "tuples of themselves, 2 to the 60 in all": [
      pickle("EMPTY_TUPLE", repeat(60, assemble("BINPUT", 0, "BINGET", 0, "TUPLE2"))),
      /holds a tuple, not a state dict/,
    ],
    "a dictionary that holds itself": [
      pickle("EMPTY_DICT", "BINPUT", 0, string("state_dict"), "BINGET", 0, "SETITEM"),
      /holds no state dict of tensors; its keys are "state_dict"/,
    ],
    "nested tuples, 200,000 deep": [
      pickle("EMPTY_TUPLE", repeat(200_000, assemble("TUPLE1"))),
      /holds a tuple, not a state dict/,
    ],
    "a string of four gigabytes": [
      pickle("BINUNICODE", u32(0xffffffff)),
      /string bytes: 4294967295 is above the limit/,
    ],
    "a string longer than the pickle": [pickle("BINUNICODE", u32(5000)), /5000 more bytes wanted/],
    "a string that is not UTF-8": [
      pickle("SHORT_BINUNICODE", 1, Buffer.from([0xc3])),
      /a string is not valid UTF-8/,
    ],
    "a global without end": [pickle("GLOBAL", Buffer.alloc(9000, "a")), /no end of line within 256 bytes/],
    "an integer of 255 bytes": [pickle("LONG1", 255, Buffer.alloc(255, 1)), /bytes of an integer: 255/],
    "a list as a key": [pickle("EMPTY_DICT", "EMPTY_LIST", "NONE", "SETITEM"), /a dictionary key is a list/],
    "a key without a value": [
      pickle("EMPTY_DICT", "MARK", "NONE", "SETITEMS"),
      /a dictionary key without a value/,
    ],
    "an item for a tuple": [pickle("EMPTY_TUPLE", "NONE", "APPEND"), /cannot append to tuple/],
    "one name twice": [
      pickle(dict(string("weight"), tensor(), string("weight"), tensor())),
      /the key "weight" occurs twice/,
    ],
    "a name that is a number": [pickle(dict(integer(7), tensor())), /tensor "7": its name is not a string/],
    "a value that is no tensor": [
      pickle(dict(string("weight"), tensor(), string("epoch"), integer(3))),
      /tensor "epoch": is not a tensor but a number/,
    ],
    "no dictionary at all": [pickle(tensor()), /holds a tensor, not a state dict/],
  };
  test.each(Object.entries(cases))("%s", async (_, [pickled, message]) => {
    expect((await refusal(rawZip(archive(pickled)))).message).toMatch(message);
  });
});

describe("a tensor that lies about its storage", () => {
  const cases: Record<string, [Parameters<typeof tensor>[0], RegExp]> = {
    "a storage that is not there": [{ key: "1" }, /its storage "data\/1" is not in the archive/],
    "a storage outside of the archive": [{ key: "../data.pkl" }, /storage key is not a decimal number/],
    "a storage of another size": [{ storageSize: 3 }, /says 12 bytes, "archive\/data\/0" has 8/],
    "a storage of negative size": [{ storageSize: -2 }, /no size/],
    "a storage class that is not allowed": [
      { storageClass: "ComplexFloatStorage" },
      /global "torch\.ComplexFloatStorage" is not allowed/,
    ],
    "a dtype as a storage class": [{ storageClass: "float32" }, /is not a tensor storage/],
    "a view behind its end": [{ offset: 1 }, /bytes 4 to 12 lie outside its storage of 8 bytes/],
    "a view before its start": [{ offset: -1 }, /storage offset is not a count/],
    "more elements than it has": [{ shape: [3] }, /bytes 0 to 12 lie outside/],
    "a shape whose product overflows": [
      { shape: [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1], stride: [0, 0, 0] },
      /its shape \[2147483647,2147483647,2147483647\] is too large/,
    ],
    "a negative size": [{ shape: [-2] }, /size is not a tuple of at most 64 counts/],
    "65 dimensions": [
      { shape: Array<number>(65).fill(1), stride: Array<number>(65).fill(1) },
      /at most 64 counts/,
    ],
    "a stride that reads one element twice": [
      { stride: [0] },
      /is not contiguous \(shape \[2\], stride \[0\]\)/,
    ],
    "fewer strides than sizes": [{ shape: [1, 2] }, /is not contiguous/],
    "backward hooks": [{ hooks: dict(string("hook"), integer(1)) }, /backward hooks/],
  };
  test.each(Object.entries(cases))("%s", async (_, [fields, message]) => {
    const bytes = rawZip(archive(pickle(dict(string("weight"), tensor(fields)))));
    expect((await refusal(bytes)).message).toMatch(message);
  });
});

describe("an archive that other programs would read otherwise", () => {
  const [pkl, order, zero] = archive() as [RawEntry, RawEntry, RawEntry];
  const zip64Offset = Buffer.alloc(12);
  zip64Offset.writeUInt16LE(1, 0);
  zip64Offset.writeUInt16LE(8, 2);
  zip64Offset.writeBigUInt64LE(2n ** 63n, 4);
  const directoryBeyond = rawZip(archive());
  directoryBeyond.writeUInt32LE(0xfffffff0, directoryBeyond.length - 6);
  const cases: Record<string, [Buffer, RegExp]> = {
    "an encrypted entry": [
      rawZip([pkl, { ...zero, flags: 1, packedSize: 20 }]),
      /"archive\/data\/0": is encrypted/,
    ],
    "a compressed entry": [
      rawZip([pkl, { ...zero, method: 8 }]),
      /"archive\/data\/0": is compressed \(method 8\)/,
    ],
    "a compressed pickle": [rawZip([{ ...pkl, method: 8 }, zero]), /"archive\/data\.pkl": is compressed/],
    "a bomb that says to inflate to 4 GB": [
      rawZip([pkl, { ...zero, method: 8, size: 0xfffffff0 }]),
      /is compressed|overflows/,
    ],
    "a stored entry that says 4 GB": [rawZip([pkl, { ...zero, size: 0xfffffff0 }]), /overflows file bounds/],
    "one name twice": [rawZip([pkl, zero, zero]), /entry "archive\/data\/0": occurs twice/],
    "two names for the same bytes": [
      rawZip([
        { ...pkl, localHeaderOffset: 0 },
        { ...zero, localHeaderOffset: 0 },
      ]),
      /is named otherwise in its local header|disagree/,
    ],
    "an entry inside of another": [
      rawZip([
        pkl,
        { name: "archive/data/9", data: rawZip([zero]) },
        { ...zero, localHeaderOffset: 30 + pkl.name.length + pkl.data.length + 30 + "archive/data/9".length },
      ]),
      /overlaps the entry before it/,
    ],
    "another name in the local header": [
      rawZip([pkl, { ...zero, localName: "archive/data/1" }]),
      /is named otherwise in its local header/,
    ],
    "a name that leaves the folder": [
      rawZip([pkl, zero, { name: "archive/../../x", data }]),
      /invalid relative path/,
    ],
    "an absolute name": [rawZip([pkl, zero, { name: "/etc/x", data }]), /absolute path/],
    "a name with backslashes": [rawZip([pkl, zero, { name: "archive\\x", data }]), /invalid characters/],
    "a name with a zero byte": [
      rawZip([pkl, zero, { name: "archive/x\0y", data }]),
      /not a plain relative path/,
    ],
    "a folder as an entry": [
      rawZip([pkl, zero, { name: "archive/x/", data: Buffer.alloc(0) }]),
      /not a plain/,
    ],
    "an entry outside of the folder": [rawZip([pkl, zero, { name: "x", data }]), /lies outside of "archive"/],
    "a position beyond 2 to the 53": [
      rawZip([pkl, { ...zero, localHeaderOffset: 0xffffffff, extra: zip64Offset }]),
      /lie outside the file|do not fit/,
    ],
    "a directory beyond the file": [directoryBeyond, /lie outside the file|do not fit/],
    "fewer entries counted than there are": [
      rawZip(archive(), { count: 2 }),
      /the zip directory does not end where its entry count says/,
    ],
    "more entries counted than there are": [
      rawZip(archive(), { count: 4 }),
      /zip directory: bytes 490 to 536 lie outside/,
    ],
    "more entries than any model": [rawZip(archive(), { count: 60_000 }), /more than 20000 entries/],
    "no pickle": [rawZip([zero]), /0 entries named <folder>\/data\.pkl/],
    "two pickles": [rawZip([pkl, { ...pkl, name: "other/data.pkl" }]), /2 entries named/],
    "a pickle with another CRC": [rawZip([{ ...pkl, crc: 1 }, zero]), /data\.pkl: its CRC-32 does not fit/],
    "a big-endian machine's file": [
      rawZip([pkl, { ...order, data: Buffer.from("big") }, zero]),
      /byte order "big"; only "little" is read/,
    ],
    "an empty archive": [rawZip([]), /not a zip archive/],
  };
  test.each(Object.entries(cases))("%s", async (_, [bytes, message]) => {
    expect((await refusal(bytes)).message).toMatch(message);
  });
});

test.each([
  ["nothing", "", /the file is empty/],
  ["a web page", "\n<!DOCTYPE html><html><body>404</body></html>", /is a web page/],
  ["a git-lfs pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", /git lfs pull/],
  ["something else", "GGUF....", /is not a zip archive \(first bytes 474755462e2e2e2e\)/],
  ["a zip's first bytes alone", "PK\x03\x04", /not a zip file, or file is truncated/],
])("a file that holds %s", async (_, text, message) => {
  expect((await refusal(Buffer.from(text))).message).toMatch(message);
});

test("an archive cut at any byte is refused", async () => {
  const bytes = rawZip(archive());
  const path = join(tempFolder(), "model.bin");
  for (let length = 0; length < bytes.length; length += 3) {
    writeFileSync(path, bytes.subarray(0, length));
    await expect(openTorchZip(path), `cut at ${length}`).rejects.toBeInstanceOf(CheckpointError);
  }
});

test("any pickle of changed bytes, with a CRC that fits, gives a result or a CheckpointError", async () => {
  const path = join(tempFolder(), "model.bin");
  const pickled = pickle(
    dict(string("weight"), tensor(), string("bias"), tensor({ offset: 1, shape: [], stride: [] })),
  );
  const codes = fc.oneof(fc.constantFrom(...Object.values(opcodes)), fc.nat(255));
  const changes = fc.array(fc.record({ at: fc.nat(pickled.length - 1), to: codes }), {
    minLength: 1,
    maxLength: 3,
  });
  await fc.assert(
    fc.asyncProperty(changes, async (bytes) => {
      const changed = Buffer.from(pickled);
      for (const { at, to } of bytes) changed[at] = to;
      writeFileSync(path, rawZip(archive(changed)));
      await openTorchZip(path).catch((error: unknown) => expect(error).toBeInstanceOf(CheckpointError));
    }),
    { numRuns: 500 },
  );
});
