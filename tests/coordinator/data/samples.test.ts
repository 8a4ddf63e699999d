import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { codeText, readCodeRows, readDefectRows } from "../../../coordinator/data/samples.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";

const folder = mkdtempSync(join(tmpdir(), "elibad-samples-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const row = {
  idx: "7",
  project: "x",
  func_name: "f",
  code_tokens: ["f", "(", '"a b"', ")"],
  variables: ["f"],
  label: 1,
};

describe("sample rows", () => {
  it("are read in file order, with every field of the object kept", () => {
    const path = file("two.jsonl", `${JSON.stringify(row)}\n\n${JSON.stringify({ ...row, label: 0 })}\n`);
    const rows = readDefectRows(path, { need: ["variables", "func_name"] });
    expect(rows.map(({ line, label }) => [line, label])).toEqual([
      [1, 1],
      [3, 0],
    ]);
    expect(rows[0]!.json).toEqual(row);
    expect(rows[0]!.funcName).toBe("f");
  });

  it("are refused with the line where one is longer than any function", () => {
    const long = `${JSON.stringify(row)}\n${" ".repeat(2 ** 24 + 1)}\n`;
    const read = (path: string) => () => readDefectRows(path, { need: [] });
    expect(read(file("long.jsonl", long))).toThrow(/long\.jsonl:2: has 16777217 characters/);
    expect(read(file("long.jsonl.gz", gzipSync(long)))).toThrow(/:2: has 16777217 characters/);
  });

  it("are not looked for in a device, which may have no end", () => {
    expect(() => readDefectRows("/dev/zero", { need: [] })).toThrow(
      "/dev/zero: cannot be read: it is a device",
    );
  });

  it("are read from a gzipped file as from a plain one", () => {
    const text = `${JSON.stringify(row)}\n`;
    expect(readDefectRows(file("a.jsonl.gz", gzipSync(text)))).toEqual(readDefectRows(file("a.jsonl", text)));
  });

  it("become text with one blank between tokens and the blanks inside tokens kept", () => {
    expect(codeText(["f", "(", '"a  b"', ")"])).toBe('f ( "a  b" )');
  });

  it("may lack the label where the command needs none", () => {
    const path = file("bare.jsonl", JSON.stringify({ code_tokens: ["f"] }));
    expect(readCodeRows(path)[0]!.label).toBeUndefined();
    expect(() => readDefectRows(path)).toThrow(`${path}:1: has no field "label"`);
  });

  it.skipIf(!hasShared)("of the reference's data are accepted, all of them", () => {
    const data = (...parts: string[]) => sharedPath("golden", "trained", "defect-data", ...parts);
    const need = ["variables", "func_name"] as const;
    expect(readDefectRows(data("clean_samples.jsonl"), { need })).toHaveLength(100);
    expect(readDefectRows(data("data", "test.jsonl"), { need })).toHaveLength(364);
    expect(readDefectRows(data("data", "train.jsonl.gz"), { need })).toHaveLength(2001);
  });
});

describe("a sample file that cannot be used is refused in one line that says where and what", () => {
  const line = (change: object) => JSON.stringify({ ...row, ...change });
  it.each([
    ["empty.jsonl", "", /empty\.jsonl: is empty/],
    ["blank.jsonl", "\n \n", /blank\.jsonl: is empty/],
    ["text.jsonl", `${line({})}\nint main()\n`, /text\.jsonl:2: is not JSON: "int main\(\)"/],
    ["list.jsonl", `[${line({})}]`, /list\.jsonl:1: expected a JSON object, found \[/],
    ["wide.jsonl", '{\n "a": 1\n}', /wide\.jsonl:1: is not JSON.*over several lines/],
    ["label.jsonl", line({ label: 2 }), /label\.jsonl:1: field "label" is 2: expected 0 or 1/],
    ["text-label.jsonl", line({ label: "1" }), /:1: field "label" is "1": expected 0 or 1/],
    ["half-label.jsonl", line({ label: 0.5 }), /field "label" is 0\.5/],
    ["null-label.jsonl", line({ label: null }), /field "label" is null/],
    ["no-variables.jsonl", line({ variables: undefined }), /:1: has no field "variables"/],
    ["variables.jsonl", line({ variables: "x" }), /field "variables" is "x": expected a list of strings/],
    ["tokens.jsonl", line({ code_tokens: ["a", 3] }), /field "code_tokens\[1\]" is 3: expected a string/],
    ["no-tokens.jsonl", line({ code_tokens: undefined }), /has no field "code_tokens"/],
    ["name.jsonl", line({ func_name: 1 }), /field "func_name" is 1: expected a string/],
    [
      "clone.jsonl",
      '{"code_tokens1":[],"code_tokens2":[],"label":1}',
      /row of clone detection, not of defect/,
    ],
    ["search.jsonl", '{"code_tokens":[],"docstring_tokens":[]}', /row of code search, not of defect/],
    ["raw.jsonl", '{"func":"int f(){}","target":1}', /raw\.jsonl:1: .*before preprocessing/],
    ["zip.jsonl", gzipSync("{}"), /zip\.jsonl: is gzipped, but its name does not end in \.gz/],
    ["plain.jsonl.gz", "{}", /plain\.jsonl\.gz: is not gzipped/],
    ["cut.jsonl.gz", gzipSync(line({})).subarray(0, 30), /cut\.jsonl\.gz: cannot be unpacked/],
    ["model.bin", Uint8Array.of(80, 75, 3, 4, 0, 0), /model\.bin: is a binary file/],
  ])("%s", (name, content, message) => {
    const path = file(name, content);
    expect(() => readDefectRows(path, { need: ["variables"] })).toThrow(message);
    expect(() => readDefectRows(path, { need: ["variables"] })).not.toThrow(/\n/);
  });

  it("a path that is no file", () => {
    mkdirSync(join(folder, "sub"));
    expect(() => readDefectRows(join(folder, "sub"))).toThrow(/sub: cannot be read: it is a folder/);
    expect(() => readDefectRows(join(folder, "none"))).toThrow(/none: cannot be read: no such file/);
  });
});
