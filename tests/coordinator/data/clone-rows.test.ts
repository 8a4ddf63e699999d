import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readClonePairs, readFunctions, readPairs } from "../../../coordinator/data/clone-pairs.ts";
import { readCloneRows, readSnippetPairs } from "../../../coordinator/data/clone-rows.ts";
import { encodeSnippets } from "../../../coordinator/data/row-ids.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { loadTinyTokenizer } from "../../support/tiny-tokenizer.ts";

function file(name: string, content: string | Uint8Array): string {
  const path = join(tempFolder(), name);
  writeFileSync(path, content);
  return path;
}

const row = {
  url1: "7",
  code_tokens1: ["int", "foo"],
  func_name1: "foo",
  variables1: ["foo"],
  code_tokens2: ["int", "g"],
  func_name2: "g",
  variables2: [],
  label: 1,
};
const line = (change: object) => JSON.stringify({ ...row, ...change });

describe("rows of clone detection", () => {
  it("hold two functions and a label, and every field of the object", () => {
    const [read] = readCloneRows(file("one.jsonl", line({})), { need: ["variables1", "func_name2"] });
    expect(read).toEqual({
      line: 1,
      first: { codeTokens: ["int", "foo"], funcName: "foo", variables: ["foo"] },
      second: { codeTokens: ["int", "g"], funcName: "g", variables: [] },
      label: 1,
      json: row,
    });
  });

  it("may lack the label where the command needs none", () => {
    const path = file("bare.jsonl", line({ label: undefined }));
    expect(readSnippetPairs(path)[0]!.label).toBeUndefined();
    expect(() => readCloneRows(path)).toThrow(`${path}:1: has no field "label"`);
  });

  it("become two rows of ids, each with both end tokens and cut by itself", () => {
    const tokenizer = loadTinyTokenizer();
    const [read] = readCloneRows(file("ids.jsonl", line({})));
    const [int, foo, blank, g] = ["int", "Ġfoo", "Ġ", "g"].map((token) => tokenizer.idOf(token)!);
    expect(encodeSnippets(read!, tokenizer, 4)).toEqual({
      first: [0, int, foo, 2],
      second: [0, int, blank, 2],
    });
    expect(encodeSnippets(read!, tokenizer, 9).second).toEqual([0, int, blank, g, 2]);
  });

  it.each([
    ["no-second.jsonl", line({ code_tokens2: undefined }), /:1: has no field "code_tokens2"/],
    ["tokens.jsonl", line({ code_tokens2: ["a", 3] }), /field "code_tokens2\[1\]" is 3: expected a string/],
    ["name.jsonl", line({ func_name1: 4 }), /field "func_name1" is 4: expected a string/],
    ["label.jsonl", line({ label: 2 }), /:1: field "label" is 2: expected 0 or 1/],
    ["variables.jsonl", line({ variables1: undefined }), /:1: has no field "variables1"/],
    ["defect.jsonl", '{"code_tokens":[],"label":1}', /has "label": a row of defect detection, not of clone/],
    [
      "search.jsonl",
      '{"code_tokens":[],"docstring_tokens":[]}',
      /a row of code search, not of clone detection/,
    ],
    ["function.jsonl", '{"idx":"1","code_tokens":[]}', /one function; its pairs stand in a pair file/],
    ["raw.jsonl", '{"func":"int f(){}","idx":"1"}', /:1: .*before preprocessing/],
  ])("are refused in one line that says where and what: %s", (name, content, message) => {
    expect(() => readCloneRows(file(name, content), { need: ["variables1"] })).toThrow(message);
  });

  it.skipIf(!hasShared)("of the reference's data are accepted, all of them", () => {
    const rows = readCloneRows(
      sharedPath("golden", "trained", "clone-codet5-backdoored", "clean_samples.jsonl"),
      {
        need: ["variables1", "variables2", "func_name1", "func_name2"],
      },
    );
    expect(rows).toHaveLength(100);
  });
});

describe("pairs of functions", () => {
  const functions = (name: string, ...rows: object[]) =>
    file(name, rows.map((each) => JSON.stringify(each)).join("\n"));
  const both = () =>
    functions(
      "data.jsonl",
      { idx: "7", func_name: "foo", code_tokens: ["int", "foo"], variables: [] },
      { idx: 8, func_name: "g", code_tokens: ["int", "g"], variables: [] },
    );

  it("become rows with both functions, in the pair file's order", () => {
    const data = both();
    const rows = readClonePairs(data, file("pairs.txt", "8\t7\t1\n\n7\t7\t0\n"), { need: ["variables"] });
    expect(
      rows.map(({ line: at, first, second, label }) => [at, first.funcName, second.funcName, label]),
    ).toEqual([
      [1, "g", "foo", 1],
      [3, "foo", "foo", 0],
    ]);
    expect(rows[0]!.json).toMatchObject({ url1: "8", url2: "7", code_tokens2: ["int", "foo"], label: 1 });
    const again = file("again.jsonl", rows.map(({ json }) => JSON.stringify(json)).join("\n"));
    expect(readCloneRows(again).map(({ json }) => json)).toEqual(rows.map(({ json }) => json));
  });

  it("are read from gzipped files too", () => {
    expect(readPairs(file("pairs.txt.gz", gzipSync("8\t7\t1\r\n")))).toEqual([
      { line: 1, first: "8", second: "7", label: 1 },
    ]);
  });

  it.skipIf(!hasShared)("of the trained model's evaluation are all there", () => {
    const data = (name: string) => sharedPath("golden", "trained", "clone-codet5-backdoored", "data", name);
    const rows = readClonePairs(data("data.jsonl.gz"), data("test.txt"), {
      need: ["func_name", "variables"],
    });
    expect(rows).toHaveLength(500);
    expect(rows.filter(({ label }) => label === 1)).toHaveLength(250);
  });

  it("are refused where a pair names an unknown id, with the pair file and its line", () => {
    const data = both();
    const pairs = file("unknown.txt", "7\t8\t1\n7\t9\t0\n");
    expect(() => readClonePairs(data, pairs)).toThrow(
      `${pairs}:2: field "second id" is "9": ${data} has no function of this id`,
    );
  });

  it.each([
    [
      "blanks.txt",
      "7 8 1\n",
      /blanks\.txt:1: expected two ids and a label with tabs between them, found "7 8 1"/,
    ],
    ["short.txt", "7\t8\n", /short\.txt:1: expected two ids and a label/],
    ["label.txt", "7\t8\t1\n8\t7\t2\n", /label\.txt:2: field "label" is "2": expected 0 or 1/],
    ["empty.txt", "\n", /empty\.txt: is empty/],
  ])("are refused where a line is none: %s", (name, content, message) => {
    expect(() => readPairs(file(name, content))).toThrow(message);
  });

  it.each([
    [
      "twice.jsonl",
      [
        { idx: "7", code_tokens: [] },
        { idx: 7, code_tokens: [] },
      ],
      /:2: field "idx" is "7": .* line 1 too/,
    ],
    ["nameless.jsonl", [{ code_tokens: [] }], /:1: has no field "idx"/],
    ["labelled.jsonl", [{ idx: "7", code_tokens: [], label: 1 }], /:1: is a labelled row/],
    ["raw.jsonl", [{ idx: "7", func: "int f() {}" }], /:1: .*before preprocessing/],
  ])("are refused where the functions cannot be used: %s", (name, rows, message) => {
    expect(() => readFunctions(functions(name, ...rows))).toThrow(message);
  });
});
