import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { elibadHere } from "../../support/command-line.ts";
import { hasShared, readSharedJsonl, sharedPath } from "../../support/shared.ts";
import { tempFolder } from "../../support/temp-folder.ts";

type Row = Readonly<Record<string, unknown>>;

const rowsIn = (...path: string[]): Row[] =>
  readFileSync(join(...path), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

const report = (folder: string) => JSON.parse(readFileSync(join(folder, "preprocess.json"), "utf8"));

/** Runs `elibad preprocess`, which must succeed, and answers its output folder. */
async function preprocess(...words: readonly string[]): Promise<string> {
  const out = join(tempFolder(), "out");
  const { code, stderr } = await elibadHere("preprocess", ...words, "--out", out);
  expect(stderr).not.toMatch(/^elibad/m);
  expect(code).toBe(0);
  return out;
}

/** A file in a new folder. */
function fileOf(name: string, content: string | Uint8Array): string {
  const file = join(tempFolder(), name);
  writeFileSync(file, content);
  return file;
}

const jsonl = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

const good = (k: number, label = k % 2) => ({
  func: `int f${k}(int a) { int b = a; return b; }`,
  target: label,
});

describe.skipIf(!hasShared)("real data", () => {
  test("Devign's rows become those that the published preprocessing made of them", async () => {
    const out = await preprocess("--data-json-path", sharedPath("data", "defect-devign", "test.jsonl"));
    const rows = rowsIn(out, "data.jsonl");
    expect(rows.map((row) => Object.keys(row))).toEqual(
      rows.map(() => [
        ...["idx", "commit_id", "project", "func_name", "language"],
        ...["code", "code_tokens", "variables", "label"],
      ]),
    );
    const published = readSharedJsonl<Row>("golden", "trained", "defect-data", "data", "test.jsonl");
    expect(rows).toHaveLength(published.length);
    // The labels there are made ones, which a small model can learn.
    const fields = ["idx", "project", "func_name", "language", "code_tokens", "variables"];
    const differing = published.filter((row, k) =>
      fields.some((field) => JSON.stringify(row[field]) !== JSON.stringify(rows[k]![field])),
    );
    // After syntax errors: the grammar of 6844 is newer here, and the tree of 18545 is one of UTF-16.
    expect(differing.map(({ idx }) => idx)).toEqual(["6844", "18545"]);
  });

  test("clones: functions, pairs, and the published clean samples", async () => {
    const data = (name: string) => sharedPath("data", "clone-bigclonebench", name);
    const out = await preprocess(
      ...["--task", "clone_detection", "--data-jsonl-path", data("data.jsonl.gz")],
      ...["--train-txt-path", data("train.txt"), "--test-txt-path", data("test.txt")],
      ...["--output-clean-samples", "--clean-sample-ratio", "50"],
    );
    const published = ["golden", "trained", "clone-codet5-backdoored"];
    expect(rowsIn(out, "data.jsonl").map(({ code: _, ...row }) => row)).toEqual(
      readSharedJsonl(...published, "data", "data.jsonl.gz"),
    );
    expect(rowsIn(out, "clean_samples.jsonl").map(({ code1: _, code2: __, ...row }) => row)).toEqual(
      readSharedJsonl(...published, "clean_samples.jsonl"),
    );
    expect(readFileSync(join(out, "train.txt"), "utf8")).toBe(readFileSync(data("train.txt"), "utf8"));
    expect(existsSync(join(out, "valid.txt"))).toBe(false);
  });

  test("code search: queries come from the functions' docstrings", async () => {
    const file = sharedPath("data", "codesearch-python", "csn-functions.jsonl.gz");
    const out = await preprocess(
      "--task",
      "code_search",
      "--data-jsonl-path",
      file,
      "--output-clean-samples",
    );
    const rows = rowsIn(out, "data.jsonl");
    expect(rows.length).toBe(1000);
    expect(rows[0]).toMatchObject({
      idx: 0,
      func_name: "r_assets",
      language: "python",
      docstring_tokens: ["Route", "for", "specific", "assets", "."],
    });
    expect(rowsIn(out, "clean_samples.jsonl")).toHaveLength(100);
  });

  test("queries are cut as CodeSearchNet cuts them", async () => {
    const rows = readSharedJsonl<{ code: string; idx: string; docstring_tokens: string }>(
      ...["data", "codesearch-python", "cosqa-dev.jsonl"],
    );
    const bare = fileOf("bare.jsonl", jsonl(rows.map(({ code, idx }) => ({ code, idx }))));
    const out = await preprocess("--task", "code_search", "--data-jsonl-path", bare);
    const queries = new Map(
      rowsIn(out, "data.jsonl").map((row) => [row.idx, (row.docstring_tokens as string[]).join(" ")]),
    );
    const differing = rows.filter(({ idx, docstring_tokens }) => queries.get(idx) !== docstring_tokens);
    // r""" strings, and summaries that are empty there.
    expect(differing.length).toBeLessThanOrEqual(7);
  });

  test("clean samples of rows that are ready are the published draw", async () => {
    const out = await preprocess(
      ...["--only-output-clean-samples", "--clean-sample-ratio", "50", "--clean-sample-data-input-path"],
      sharedPath("golden", "trained", "defect-data", "data", "train.jsonl.gz"),
    );
    expect(readdirSync(out).sort()).toEqual(["clean_samples.jsonl", "preprocess.json"]);
    expect(rowsIn(out, "clean_samples.jsonl")).toEqual(
      readSharedJsonl("golden", "trained", "defect-data", "clean_samples.jsonl"),
    );
  });
});

test("rows are the same with one thread and with four", async () => {
  const rows = Array.from({ length: 200 }, (_, k) =>
    k % 7 === 3
      ? { func: "int x;", target: 0 }
      : { ...good(k), func: `${good(k).func}${" f(a);".repeat(k % 50)}` },
  );
  const file = fileOf("function.json", JSON.stringify(rows));
  const [one, four] = [
    await preprocess("--data-json-path", file, "--workers", "1"),
    await preprocess("--data-json-path", file, "--workers", "4"),
  ];
  for (const name of ["data.jsonl", "kept_out.jsonl"]) {
    expect(readFileSync(join(four, name), "utf8")).toBe(readFileSync(join(one, name), "utf8"));
  }
  expect(rowsIn(one, "data.jsonl").map(({ idx }) => idx)).toEqual(
    rows.flatMap(({ func }, k) => (func === "int x;" ? [] : [String(k)])),
  );
});

test("a list and the same rows as JSONL, packed or not, give the same", async () => {
  const rows = [good(0), good(1)];
  const [list, lines, packed] = [
    fileOf("function.json", JSON.stringify(rows, null, 2)),
    fileOf("function.jsonl", jsonl(rows)),
    fileOf("function.jsonl.gz", gzipSync(jsonl(rows))),
  ];
  const outs = await Promise.all(
    [list, lines, packed].map(async (file) =>
      rowsIn(await preprocess("--data-json-path", file), "data.jsonl"),
    ),
  );
  expect(outs[1]).toEqual(outs[0]);
  expect(outs[2]).toEqual(outs[0]);
});

test("index files make the splits; functions in none of them are counted", async () => {
  const file = fileOf("function.json", JSON.stringify([0, 1, 2, 3, 4].map((k) => good(k))));
  const out = await preprocess(
    ...["--data-json-path", file, "--output-clean-samples", "--clean-sample-ratio", "1"],
    ...["--train-txt-path", fileOf("train.txt", "0\n3\n99\n"), "--test-txt-path", fileOf("test.txt", "2\n")],
  );
  expect(readdirSync(out).sort()).toEqual([
    ...["clean_samples.jsonl", "preprocess.json", "test.jsonl", "train.jsonl"],
  ]);
  expect(rowsIn(out, "train.jsonl").map(({ idx }) => idx)).toEqual(["0", "3"]);
  expect(rowsIn(out, "clean_samples.jsonl").map(({ label }) => label)).toEqual([0, 1]);
  expect(report(out)).toMatchObject({ in_no_split: 2, absent: { train: 1, test: 0 } });
});

test("functions that cannot be read are kept out, listed, and counted by their reason", async () => {
  const python = [
    "def f(a):\n    return a\n",
    "def f(a:\n",
    "def g():\n        x\n    y\n",
    "x = 1\n",
    "def h(:\n",
  ];
  const file = fileOf("python.json", JSON.stringify(python.map((func) => ({ func, target: 1 }))));
  const out = await preprocess("--data-json-path", file, "--lang", "python");
  expect(report(out)).toMatchObject({
    functions: 5,
    rows: { "data.jsonl": 1 },
    kept_out: {
      "EOF in multi-line statement": 2,
      "unindent does not match any outer indentation level": 1,
      "no parenthesis, so no function name": 1,
    },
  });
  expect(rowsIn(out, "kept_out.jsonl")[0]).toEqual({
    file: `${file}[1]`,
    idx: "1",
    reason: "EOF in multi-line statement (line 2 of the function)",
  });
});

test("functions with syntax errors are kept as published, or dropped", async () => {
  const broken = { func: "int f(int a) { if (a) {", target: 0 };
  const file = fileOf("function.json", JSON.stringify([good(0), broken]));
  const kept = await preprocess("--data-json-path", file);
  expect(report(kept)).toMatchObject({ syntax_errors: 1, rows: { "data.jsonl": 2 }, kept_out: {} });
  const dropped = await preprocess("--data-json-path", file, "--syntax-errors", "drop");
  expect(report(dropped)).toMatchObject({
    syntax_errors: 1,
    rows: { "data.jsonl": 1 },
    kept_out: { "syntax error": 1 },
  });
});

test("pairs of a function that was kept out go with it", async () => {
  const data = fileOf(
    "data.jsonl",
    jsonl([
      { idx: "a", func: "int f(int x) { int y = x; return y; }" },
      { idx: "b", func: "void g() { }" },
      { idx: "c", func: "int z;" },
    ]),
  );
  const out = await preprocess(
    ...["--task", "clone_detection", "--data-jsonl-path", data],
    ...["--train-txt-path", fileOf("train.txt", "a\tb\t1\na\tc\t0\n")],
  );
  expect(readFileSync(join(out, "train.txt"), "utf8")).toBe("a\tb\t1\n");
  expect(report(out).pairs).toEqual({ "train.txt": { written: 1, kept_out: 1 } });
});

test("source files give a row for each outermost function, by its file and line", async () => {
  const folder = tempFolder();
  mkdirSync(join(folder, "src", ".hidden"), { recursive: true });
  const put = (name: string, text: string) => writeFileSync(join(folder, "src", name), text);
  put("b.c", "#include <x.h>\nint one(int a) { return a; }\nstatic void two(void) { one(1); }\n");
  put("a.py", "class A:\n    def f(self):\n        def inner():\n            pass\n        return inner\n");
  put("C.java", "class C { int m(int k) { int j = k; return j; } C() { } }\n");
  put("notes.txt", "f()");
  put(join(".hidden", "d.c"), "int no(void) { }");
  const out = await preprocess("--source-path", join(folder, "src"), "--label", "0");
  expect(
    rowsIn(out, "data.jsonl").map(({ idx, func_name, language, label }) => [idx, func_name, language, label]),
  ).toEqual([
    ["C.java:1", "m", "java", 0],
    ["C.java:1", "C", "java", 0],
    ["a.py:2", "f", "python", 0],
    ["b.c:2", "one", "cpp", 0],
    ["b.c:3", "two", "cpp", 0],
  ]);
});
