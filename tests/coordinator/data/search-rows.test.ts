import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { encodeSearchRow } from "../../../coordinator/data/row-ids.ts";
import { readSearchRows } from "../../../coordinator/data/search-rows.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { loadTinyTokenizer } from "../../support/tiny-tokenizer.ts";

function file(name: string, content: string): string {
  const path = join(tempFolder(), name);
  writeFileSync(path, content);
  return path;
}

const row = { idx: 3, func_name: "foo", docstring_tokens: ["foo", "int"], code_tokens: ["int", "foo"] };
const line = (change: object) => JSON.stringify({ ...row, ...change });

describe("rows of code search", () => {
  it("hold a function and a query, and every field of the object", () => {
    expect(readSearchRows(file("one.jsonl", line({})), { need: ["func_name"] })).toEqual([
      { line: 1, codeTokens: ["int", "foo"], funcName: "foo", queryTokens: ["foo", "int"], json: row },
    ]);
  });

  it("become ids of code and of query, each with its own longest length", () => {
    const tokenizer = loadTinyTokenizer();
    const [read] = readSearchRows(file("ids.jsonl", line({})));
    const [int, spacedFoo, foo, spacedInt] = ["int", "Ġfoo", "foo", "Ġint"].map(
      (token) => tokenizer.idOf(token)!,
    );
    expect(encodeSearchRow(read!, tokenizer, { codeMaxLen: 9, nlMaxLen: 3 })).toEqual({
      code: [0, int, spacedFoo, 2],
      query: [0, foo, 2],
    });
    expect(encodeSearchRow(read!, tokenizer, { codeMaxLen: 3, nlMaxLen: 9 }).query).toEqual([
      0,
      foo,
      spacedInt,
      2,
    ]);
  });

  it.each([
    [
      "empty-query.jsonl",
      line({ docstring_tokens: [] }),
      /:1: field "docstring_tokens" is \[\]: is an empty query/,
    ],
    ["null-query.jsonl", line({ docstring_tokens: null }), /:1: has no field "docstring_tokens"/],
    ["text.jsonl", line({ docstring_tokens: "find it" }), /is "find it": expected a list of strings/],
    ["variables.jsonl", `${line({ variables: [] })}\n${line({})}`, /:2: has no field "variables"/],
    ["clone.jsonl", '{"code_tokens1":[],"code_tokens2":[]}', /a row of clone detection, not of code search/],
    ["defect.jsonl", '{"code_tokens":[],"label":0}', /a row of defect detection, not of code search/],
    ["raw.jsonl", '{"func":"def f(): pass"}', /:1: .*before preprocessing/],
  ])("are refused in one line that says where and what: %s", (name, content, message) => {
    expect(() => readSearchRows(file(name, content), { need: ["variables"] })).toThrow(message);
  });

  it.skipIf(!hasShared)("of the reference's data are accepted, all of them", () => {
    const pairs = (name: string) =>
      readSearchRows(sharedPath("data", "codesearch-python", name), { need: ["func_name"] });
    expect(pairs("pairs-train.jsonl.gz")).toHaveLength(3600);
    expect(pairs("pairs-test.jsonl")).toHaveLength(495);
    expect(
      readSearchRows(sharedPath("golden", "trained", "search-codebert-backdoored", "clean_samples.jsonl"))
        .length,
    ).toBeGreaterThan(10);
  });
});
