import fc from "fast-check";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { triggerVocabulary } from "../../../coordinator/data/vocabulary.ts";
import { validOf } from "../corpus.ts";
import { deepJson } from "../generate/json.ts";
import { jsonInputs } from "../generate/json-files.ts";
import { changedLines, lineChanges } from "../generate/lines.ts";
import type { Files, Parser } from "../parser.ts";

const withMerges = validOf("tokenizer").filter((files) => files["merges.txt"] !== undefined);

/** Lines of `merges.txt` changed. */
const merges = fc
  .record({ seed: fc.nat(withMerges.length - 1), changes: lineChanges })
  .map(({ seed, changes }): Files => {
    const files = withMerges[seed]!;
    const lines = Buffer.from(files["merges.txt"]!).toString("utf8").split("\n");
    return { ...files, "merges.txt": Buffer.from(changedLines(lines, changes).join("\n")) };
  });

const text = 'int foo(<s>a</s> + 0x1f) { return "é漢\u0000<mask>"; } // 12 <|endoftext|>';

export const tokenizer: Parser = {
  name: "tokenizer",
  runs: 3_000,
  inputs: fc.oneof({ weight: 4, arbitrary: jsonInputs("tokenizer") }, { weight: 1, arbitrary: merges }),
  extremes,
  onDisk: true,
  parse(_, folder) {
    const read = loadTokenizer(folder);
    const ids = read.encodeRow(text, 64);
    if (ids.length > 64) throw new Error(`${ids.length} ids in a row of at most 64`);
    read.decode(ids);
    triggerVocabulary(read);
  },
  errors: ["TokenizerError"],
  isHeaderError: ({ message }) => /is not JSON|no tokenizer there|: expected an object$/.test(message),
};

function extremes(): Record<string, Files> {
  const [seed] = withMerges;
  const file = (name: string, content: string): Files => ({ ...seed, [name]: Buffer.from(content) });
  const added = (count: number, tokenOf: (k: number) => string): string =>
    JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, k) => [tokenOf(k), 1_000 + k])));
  return {
    "brackets in brackets": file("vocab.json", deepJson(1_000_000)),
    "a token of brackets": file("vocab.json", `{"a":${deepJson(100_000)}}`),
    "a map of brackets": file("special_tokens_map.json", `{"bos_token":{"content":${deepJson(100_000)}}}`),
    "ids beyond any table": file("added_tokens.json", '{"x":9007199254740991,"y":4294967296}'),
    "an added token of a megabyte": file(
      "added_tokens.json",
      added(1, () => "a".repeat(1_000_000)),
    ),
    "a hundred thousand added tokens": file(
      "added_tokens.json",
      added(100_000, (k) => `t${k}`),
    ),
    "a million merges": file("merges.txt", "a b\n".repeat(1_000_000)),
    "a merge of a megabyte": file("merges.txt", `${"a".repeat(1_000_000)} b\n`),
  };
}
