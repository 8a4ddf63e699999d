import { dirname } from "node:path";
import fc from "fast-check";
import { openCheckpoint } from "../../../worker/checkpoint/open-checkpoint.ts";
import { verifyWeights } from "../../../worker/checkpoint/verify-weights.ts";
import { assemble, dict, pickle, string, tensor } from "../../support/pickle-assembler.ts";
import { type RawEntry, rawZip } from "../../support/raw-zip.ts";
import { validOf } from "../corpus.ts";
import { byteChanges, changedBytes } from "../generate/bytes.ts";
import { changedPickle, disassemble, pickleChanges } from "../generate/pickle.ts";
import { changedZip, overlapping, zipChanges } from "../generate/zip.ts";
import type { Files, Parser } from "../parser.ts";

const data = Buffer.from(Float32Array.of(1, 2).buffer);
const pieces = disassemble(
  pickle(
    dict(
      ...[string("weight"), tensor()],
      ...[string("tied"), tensor()],
      ...[string("scalar"), tensor({ offset: 1, shape: [], stride: [] })],
    ),
  ),
);

const archive = (pickled: Buffer): RawEntry[] => [
  { name: "archive/data.pkl", data: pickled },
  { name: "archive/byteorder", data: Buffer.from("little") },
  { name: "archive/data/0", data },
  { name: "archive/version", data: Buffer.from("3\n") },
];

/** Changes of fields and opcodes of an archive that is written here, and of bytes of ones that torch wrote. */
const built = fc.record({ changes: zipChanges, opcodes: pickleChanges, bytes: byteChanges }).map(
  ({ changes, opcodes, bytes }): Files => ({
    "model.bin": changedBytes(changedZip(archive(changedPickle(pieces, opcodes)), changes), bytes),
  }),
);

const torchs = validOf("torch-zip");
const saved = fc
  .record({ seed: fc.nat(torchs.length - 1), bytes: byteChanges })
  .map(({ seed, bytes }): Files => ({ "model.bin": changedBytes(torchs[seed]!["model.bin"]!, bytes) }));

export const torchZip: Parser = {
  name: "torch-zip",
  runs: 4_000,
  inputs: fc.oneof({ weight: 4, arbitrary: built }, { weight: 1, arbitrary: saved }),
  extremes: () => ({
    "twenty thousand entries in one place": { "model.bin": overlapping(20_000, data) },
    "names of 64 KiB": {
      "model.bin": rawZip(
        Array.from({ length: 500 }, (_, k): RawEntry => ({ name: `${k}/${"a".repeat(65_000)}`, data })),
      ),
    },
    "a pickle of 30 MB": {
      "model.bin": rawZip(archive(assemble("PROTO", 2, Buffer.alloc(30 * 2 ** 20, assemble("MARK"))))),
    },
  }),
  onDisk: true,
  parse: (_, folder) => openAndVerify(folder),
  errors: ["CheckpointError"],
  isHeaderError: ({ message }) => /: (byte 0|zip directory): /.test(message),
};

/** What `elibad inspect` does with the weights of a folder. */
export async function openAndVerify(folder: string): Promise<void> {
  const checkpoint = await openCheckpoint(folder);
  const outside = checkpoint.files.find((file) => dirname(file) !== folder);
  if (outside !== undefined) throw new Error(`${outside} lies outside of ${folder}`);
  await verifyWeights(checkpoint);
}
