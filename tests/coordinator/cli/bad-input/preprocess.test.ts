import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Case, refuses, type Scene, useGoodModel } from "./scene.ts";

useGoodModel();

const func = "int f(int a) { return a; }";

/** Words of a preprocessing of some files, which are written into the scene first. */
const using =
  (files: Readonly<Record<string, string | Uint8Array>>, ...words: readonly string[]): Case["words"] =>
  ({ folder, out }: Scene) => {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    const isFile = (word: string) => /\.[a-z]\w*$/.test(word) || word === "src";
    const placed = words.map((word) => (isFile(word) ? join(folder, word) : word));
    return ["preprocess", ...placed, "--json", "--out", out]; // --json: no progress on stderr
  };
const devign = (content: string | Uint8Array, ...words: readonly string[]) =>
  using({ "devign.jsonl": content }, "--data-json-path", "devign.jsonl", ...words);
const list = (content: string) => using({ "devign.json": content }, "--data-json-path", "devign.json");
const row = (fields: object) => `${JSON.stringify(fields)}\n`;
const good = row({ func, target: 0 });
const clones = (pairs: string, data = ["1", "2"].map((idx) => row({ idx, func })).join("")) =>
  using(
    { "data.jsonl": data, "train.txt": pairs },
    ...["--task", "clone_detection", "--data-jsonl-path", "data.jsonl", "--train-txt-path", "train.txt"],
  );
const search = (content: string) =>
  using({ "csn.jsonl": content }, "--task", "code_search", "--data-jsonl-path", "csn.jsonl");

refuses([
  {
    name: "a data file that is not there",
    words: using({}, "--data-json-path", "no.json"),
    says: ["no.json", "no such file"],
  },
  {
    name: "a folder as data file",
    words: ({ model, out }) => ["preprocess", "--data-json-path", model, "--out", out],
    says: ["model", "folder"],
  },
  { name: "an empty file", words: devign(""), says: ["devign.jsonl", "is empty"] },
  { name: "blank lines only", words: devign("\n \n"), says: ["devign.jsonl", "is empty"] },
  { name: "bytes", words: devign(Uint8Array.of(65, 0, 2)), says: ["devign.jsonl", "binary"] },
  {
    name: "a packed file that is not named so",
    words: devign(gzipSync(good)),
    says: ["devign.jsonl", ".gz"],
  },
  {
    name: "a packed file that breaks off",
    words: using(
      { "d.jsonl.gz": gzipSync(good.repeat(99)).subarray(0, -12) },
      "--data-json-path",
      "d.jsonl.gz",
    ),
    says: ["d.jsonl.gz", "unpacked"],
  },
  {
    name: "a bad line",
    words: devign(`${good}\n${good.slice(0, 20)}\n`),
    says: ["devign.jsonl:3", "is not JSON"],
  },
  {
    name: "a line that is a number",
    words: devign(`${good}7\n`),
    says: ["devign.jsonl:2", "expected a JSON object"],
  },
  {
    name: "a list that breaks off",
    words: list(`[${good},{"func":`),
    says: ["devign.json", "behind item 1"],
  },
  { name: "a list that is none", words: list(`[${good} ${good}]`), says: ["devign.json", "behind item 1"] },
  { name: "an empty list", words: list("[]"), says: ["devign.json", "is empty"] },
  {
    name: "a number in a list",
    words: list(`[${good}, 7]`),
    says: ["devign.json[1]", "expected a JSON object", "7"],
  },
  {
    name: "a row without code",
    words: devign(`${good}${row({ target: 1 })}`),
    says: ["devign.jsonl:2", '"func"'],
  },
  {
    name: "code that is a list",
    words: devign(row({ func: [func], target: 1 })),
    says: ["devign.jsonl:1", '"func"', "string"],
  },
  { name: "a row without label", words: devign(row({ func })), says: ["devign.jsonl:1", '"target"'] },
  {
    name: "a label that is none",
    words: devign(row({ func, target: "yes" })),
    says: ["devign.jsonl:1", '"target" is "yes"'],
  },
  {
    name: "functions that all are none",
    words: devign(row({ func: "int x;", target: 0 })),
    says: ["gives no row", "1 × no parenthesis"],
  },
  {
    name: "an index file that names none of the functions",
    words: using(
      { "d.jsonl": good, "train.txt": "7\n" },
      "--data-json-path",
      "d.jsonl",
      "--train-txt-path",
      "train.txt",
    ),
    says: ["d.jsonl", "gives no row", "in no index file"],
  },
  {
    name: "an index file that is not there",
    words: devign(good, "--train-txt-path", "no.txt"),
    says: ["no.txt", "no such file"],
  },
  {
    name: "labels that are others than said",
    words: devign(good, "--output-clean-samples"),
    says: ["devign.jsonl", "other labels: 0", '"labels" is 2'],
  },
  {
    name: "a share that gives no clean sample",
    words: devign(good + row({ func, target: 1 }), "--output-clean-samples", "--clean-sample-ratio", "0.1"),
    says: ["devign.jsonl", "clean_sample_ratio", "0.1", "no sample"],
  },
  {
    name: "half a clean sample",
    words: devign(good, "--output-clean-samples", "--clean-sample-ratio", "1.5"),
    says: ["--clean-sample-ratio 1.5"],
  },
  {
    name: "clean samples of nothing",
    words: using({}, "--only-output-clean-samples"),
    says: ["--clean-sample-data-input-path"],
  },
  {
    name: "a pair with an unknown id",
    words: clones("1\t2\t1\n\n1\t77\t0\n"),
    says: ["train.txt:3", '"second id" is "77"', "data.jsonl has no function of this id"],
  },
  { name: "a pair without label", words: clones("1\t2\n"), says: ["train.txt:1", "idx1 TAB idx2 TAB label"] },
  { name: "pairs with blanks for tabs", words: clones("1 2 1\n"), says: ["train.txt:1", "TAB"] },
  { name: "a pair file without pairs", words: clones("\n"), says: ["train.txt", "is empty"] },
  {
    name: "an id twice",
    words: clones("1\t1\t1\n", row({ idx: 1, func }).repeat(2)),
    says: ["data.jsonl:2", '"idx" is "1"'],
  },
  {
    name: "a function of clones without id",
    words: clones("1\t1\t1\n", row({ func })),
    says: ["data.jsonl:1", '"idx"'],
  },
  {
    name: "clean samples of clones without pairs",
    words: using(
      { "d.jsonl": good },
      "--task",
      "clone_detection",
      "--data-jsonl-path",
      "d.jsonl",
      "--output-clean-samples",
    ),
    says: ["--train-txt-path"],
  },
  {
    name: "a row of an unknown language",
    words: search(row({ code: "f()", docstring: "x", language: "ruby" })),
    says: ["csn.jsonl:1", '"language" is "ruby"', "cpp, java, python"],
  },
  {
    name: "an unknown --lang",
    words: devign(good, "--lang", "rust"),
    says: ["--lang", "rust", "cpp, java, python"],
  },
  {
    name: "a query that is a number",
    words: search(row({ code: "f()", docstring_tokens: 7 })),
    says: ["csn.jsonl:1", "docstring_tokens"],
  },
  {
    name: "code without any query",
    words: search(row({ code: "def f(): pass" })),
    says: ["gives no row", "1 × no docstring"],
  },
  { name: "no input", words: using({}), says: ["--data-json-path or --source-path"] },
  { name: "two inputs", words: devign(good, "--source-path", "x.c"), says: ["exactly one"] },
  {
    name: "the input of another task",
    words: using({ "d.jsonl": good }, "--data-jsonl-path", "d.jsonl"),
    says: ["--data-jsonl-path", "defect_detection", "--data-json-path"],
  },
  { name: "a label for rows that have one", words: devign(good, "--label", "1"), says: ["--label 1"] },
  {
    name: "a source file of an unknown language",
    words: using({ "x.rb": "f" }, "--source-path", "x.rb"),
    says: ["x.rb", ".java"],
  },
  {
    name: "a source file that is not there",
    words: using({}, "--source-path", "x.c"),
    says: ["x.c", "no such file"],
  },
  {
    name: "a folder without source files",
    words: (scene) => {
      mkdirSync(join(scene.folder, "src"));
      return using({}, "--source-path", "src")(scene);
    },
    says: ["src", "no source files"],
  },
  {
    name: "source files as clones",
    words: using({ "x.c": func }, "--task", "clone_detection", "--source-path", "x.c"),
    says: ["--source-path", "no pairs"],
  },
  {
    name: "an output folder that holds something",
    words: (scene) => {
      mkdirSync(scene.out);
      writeFileSync(join(scene.out, "mine"), "1");
      return devign(good)(scene);
    },
    says: ["out", "not empty"],
  },
]);
