import fc from "fast-check";
import { type Builder, readPickle } from "../../../worker/checkpoint/pickle-machine.ts";
import { torchBuilder } from "../../../worker/checkpoint/torch-objects.ts";
import {
  assemble,
  dict,
  global,
  type Piece,
  pickle,
  string,
  tensor,
  tuple,
} from "../../support/pickle-assembler.ts";
import { byteChanges, changedBytes } from "../generate/bytes.ts";
import { changedPickle, disassemble, pickleChanges } from "../generate/pickle.ts";
import type { Files, Parser } from "../parser.ts";

/** What a state dict of tensors may name, written down here anew: a name that is added there has to be added here. */
const ALLOWED = new Set([
  "collections.OrderedDict",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
  ...["Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool"].map(
    (kind) => `torch.${kind}Storage`,
  ),
  ...["float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"].map(
    (dtype) => `torch.${dtype}`,
  ),
]);

/** A builder that fails the input where a name outside of the list is given a meaning, or is called. */
export function watched(builder: Builder): Builder & { readonly broken: () => string | undefined } {
  let broken: string | undefined;
  const note = (what: string): void => {
    broken ??= what;
  };
  return {
    broken: () => broken,
    global(module, name) {
      const token = builder.global(module, name);
      if (token !== undefined && !ALLOWED.has(`${module}.${name}`)) note(`looks up ${module}.${name}`);
      return token;
    },
    reduce(callable, args) {
      const made = builder.reduce(callable, args);
      const name = typeof callable === "object" && callable?.kind === "global" ? callable.name : undefined;
      if (made !== undefined && (name === undefined || !ALLOWED.has(name))) note(`calls ${name}`);
      return made;
    },
    persistentLoad: (id) => builder.persistentLoad(id),
  };
}

/** The allow-list was left. */
class AllowListError extends Error {
  override readonly name = "AllowListError";
}

const weights = (...names: string[]): Buffer =>
  dict(...names.flatMap((name, k) => [string(name), tensor({ key: String(k) })]));

const seeds: readonly Buffer[][] = [
  pickle(weights("encoder.weight", "encoder.bias")),
  pickle(dict(string("state_dict"), weights("a"), string("epoch"), assemble("BININT1", 3))),
  pickle(
    global("collections", "OrderedDict"),
    "EMPTY_TUPLE",
    "REDUCE",
    "BINPUT",
    0,
    assemble("MARK", string("a"), tensor({ shape: [1, 2], stride: [2, 1] }), "SETITEMS"),
    dict(string("_metadata"), tuple()),
    "BUILD",
  ),
  assemble("PROTO", 4, "FRAME", Buffer.from("2000000000000000", "hex"), weights("w"), "MEMOIZE", "STOP"),
  pickle(
    dict(
      string("p"),
      assemble(
        global("torch._utils", "_rebuild_parameter"),
        tuple(tensor(), assemble("NEWTRUE"), dict()),
        "REDUCE",
      ),
    ),
  ),
].map(disassemble);

/** @param builder gives names their meanings */
export const pickleParser = (builder: Builder): Parser => ({
  name: "pickle",
  runs: 26_000,
  inputs: fc.record({ seed: fc.nat(seeds.length - 1), changes: pickleChanges, bytes: byteChanges }).map(
    ({ seed, changes, bytes }): Files => ({
      "data.pkl": changedBytes(changedPickle(seeds[seed]!, changes), bytes),
    }),
  ),
  extremes,
  parse(files) {
    const watch = watched(builder);
    try {
      return readPickle(Buffer.from(files["data.pkl"]!), watch, { file: "model.bin", entry: "data.pkl" });
    } finally {
      const broken = watch.broken();
      // biome-ignore lint/correctness/noUnsafeFinally: that the list was left is what counts, whatever else went wrong
      if (broken !== undefined) throw new AllowListError(broken);
    }
  },
  errors: ["CheckpointError"],
  isHeaderError: ({ message }) => /data\.pkl byte [01]:/.test(message),
});

const repeat = (count: number, ...pieces: readonly Piece[]): Buffer =>
  Buffer.concat(Array<Buffer>(count).fill(assemble(...pieces)));

/** As much of everything as the limits of the machine allow. */
function extremes(): Record<string, Files> {
  const item = assemble("BINGET", 0, "APPEND");
  const cases = {
    "a list of ten million": pickle("EMPTY_LIST", "NONE", "BINPUT", 0, "APPEND", repeat(10_000_000, item)),
    "floats in one list": pickle(
      "EMPTY_LIST",
      "MARK",
      repeat(199_000, "BINFLOAT", Buffer.alloc(8, 1)),
      "APPENDS",
    ),
    "strings of 64 KiB": pickle("EMPTY_LIST", repeat(500, string("é".repeat(32_000)), "APPEND")),
    "tuples in tuples": pickle("EMPTY_TUPLE", repeat(240_000, "TUPLE1")),
    "everything remembered": pickle("EMPTY_DICT", repeat(499_000, "MEMOIZE")),
    keys: pickle(
      "EMPTY_DICT",
      Buffer.concat(
        Array.from({ length: 200_000 }, (_, k) => assemble(string(String(k)), "NONE", "SETITEM")),
      ),
    ),
  };
  return Object.fromEntries(Object.entries(cases).map(([name, bytes]) => [name, { "data.pkl": bytes }]));
}

export const pickleOfTorch: Parser = pickleParser(torchBuilder);
