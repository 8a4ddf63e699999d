/** Bugs that the suite has to find: each makes a parser go wrong at some of its inputs. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runInThisContext } from "node:vm";
import { torchBuilder } from "../../worker/checkpoint/torch-objects.ts";
import type { Files, Parser } from "./parser.ts";
import { pickleParser } from "./parsers/pickle.ts";

interface PlantedBug {
  /** Of the parser that gets it. */
  readonly parser: string;
  readonly plant: (parser: Parser) => Parser;
  /** What the suite says of it. */
  readonly foundAs: RegExp;
}

const contains = (files: Files, text: string): boolean =>
  Object.values(files).some((bytes) => Buffer.from(bytes).includes(text));

/** At inputs in which the text occurs, something else comes first. */
const before =
  (text: string, act: (folder: string) => unknown) =>
  (parser: Parser): Parser => ({
    ...parser,
    async parse(files, folder) {
      if (contains(files, text)) await act(folder);
      return parser.parse(files, folder);
    },
  });

const kept: unknown[] = [];

export const PLANTED_BUGS: Readonly<Record<string, PlantedBug>> = {
  "a TypeError": {
    parser: "config",
    plant: before("null", () => (undefined as unknown as { readonly field: number }).field),
    foundAs: /^ends in an error that nobody named: TypeError: Cannot read properties of undefined/,
  },
  "an error without a file": {
    parser: "samples",
    plant: before("4294967296", () => {
      throw Object.assign(new Error("something is wrong"), { name: "SamplesError" });
    }),
    foundAs: /^ends in an error that names no file: SamplesError: something is wrong/,
  },
  "a loop without an end": {
    parser: "adapter-config",
    plant: before("__proto__", () => {
      for (;;);
    }),
    foundAs: /^does not end within 2 s of processor time/,
  },
  "a heap that grows": {
    parser: "operations",
    plant: before("../../x", () => {
      for (;;) kept.push(new Array(1_000_000).fill(0.5));
    }),
    foundAs: /^(ends the process: SIG|takes more than 200 MiB|ends the process: exit code)/,
  },
  "buffers that stay": {
    parser: "results",
    plant: before("../../x", () => void Buffer.alloc(260 * 2 ** 20, 1)),
    foundAs: /^takes 2[0-6]\d MiB of memory/,
  },
  "an error outside of every promise": {
    parser: "tensors",
    plant: before("../../x", () => {
      setImmediate(() => {
        throw new Error("nobody catches this");
      });
      return new Promise((resolve) => setTimeout(resolve, 50));
    }),
    foundAs: /^ends the process: exit code 1\n[\s\S]*nobody catches this/,
  },
  "an end of the process": {
    parser: "tokenizer",
    plant: before("1e999", () => process.abort()),
    foundAs: /^ends the process: SIGABRT/,
  },
  "names that are looked up": {
    parser: "pickle",
    plant: () =>
      pickleParser({
        ...torchBuilder,
        global: (module, name) =>
          torchBuilder.global(module, name) ?? { kind: "global", name: `${module}.${name}` },
      }),
    foundAs: /AllowListError: looks up /,
  },
  "calls that are made": {
    parser: "pickle",
    plant: () =>
      pickleParser({
        ...torchBuilder,
        global(module, name) {
          if (module === "builtins") {
            try {
              runInThisContext(`${module}.${name}`);
            } catch {
              return undefined;
            }
          }
          return torchBuilder.global(module, name);
        },
      }),
    foundAs: /^runs what the input says: runInThisContext\(/,
  },
  "a file beside its folder": {
    parser: "torch-zip",
    plant: before("archive/../../x", (folder) => writeFileSync(join(folder, "../x"), "x")),
    foundAs: /^writes outside of its folder: x/,
  },
  "a file far from its folder": {
    parser: "torch-zip",
    plant: before("archive/../../x", (folder) => writeFileSync(join(folder, "../../../x"), "x")),
    foundAs: /ERR_ACCESS_DENIED|Access to this API has been restricted/,
  },
};
