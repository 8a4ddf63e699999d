import { execFileSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { requireBoundedGlob } from "../../../coordinator/cli/bounded-globs.ts";
import { InputError } from "../../../coordinator/cli/errors.ts";
import { readInputFile } from "../../../coordinator/cli/input-file.ts";
import { listEntries } from "../../../coordinator/cli/sweep-models.ts";
import { parseYaml } from "../../../coordinator/cli/yaml-file.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const lines = (count: number, line: (k: number) => string) =>
  Array.from({ length: count }, (_, k) => line(k)).join("\n");

/** Files that hold little, and would have cost the reader the process, or minutes. */
const hostile: readonly (readonly [what: string, text: string, problem: RegExp])[] = [
  ["50,000 open brackets", "[".repeat(50_000), /line 1: lists and maps more than 64 deep/],
  ["brackets that comments seem to close", lines(500, () => "[ # ]"), /deep/],
  ["lists within lists in one line", "- ".repeat(5_000), /deep/],
  ["keys that are keys", "? ".repeat(5_000), /deep/],
  ["blocks within blocks", lines(1_000, (k) => `${" ".repeat(k)}a:`), /line \d+: lists and maps/],
  [
    "a bomb of aliases",
    `a: &a [x]\n${lines(9, (k) => `b${k}: [${"*a,".repeat(20)}]`)}`,
    /more than 100 aliases/,
  ],
  [
    "few aliases that multiply",
    `a0: &a0 [x,x,x,x,x,x,x,x,x]\n${lines(9, (k) => `a${k + 1}: &a${k + 1} [${Array(9).fill(`*a${k}`).join(",")}]`)}`,
    /aliases|Excessive alias count/,
  ],
  ["a key twice", "name: a\nsamples: b\nname: c\n", /line 3: Map keys must be unique: 'name' is there twice/],
  ["a key twice within a list", "a:\n  - {x: 1, y: 2, x: 3}\n", /line 2: Map keys must be unique/],
  ["errors without end", ": : :\n".repeat(100_000), /more than 150000 words and signs/],
  ["more than a megabyte", `a: ${"x".repeat(1024 ** 2)}`, /at most 1048576 are read/],
];

test.each(hostile)("%s are refused with a named error, in no time", (_, text, problem) => {
  const began = process.cpuUsage();
  const read = () => parseYaml("sweep.yaml", text).document.toJS();
  expect(read).toThrow(problem);
  const { user, system } = process.cpuUsage(began);
  expect((user + system) / 1e6).toBeLessThan(10);
});

test("many keys are read in a time that grows with their number, and nested settings as they are", () => {
  const many = parseYaml(
    "sweep.yaml",
    lines(20_000, (k) => `key${k}: ${k}`),
  ).document.toJS() as object;
  expect(Object.keys(many)).toHaveLength(20_000);
  const text = "a:\n  b:\n    - - c: [1, {d: [2]}]\n        e: |\n          [[[[ {{{{\n      - 'x [ y'\n";
  expect(parseYaml("sweep.yaml", text).document.toJS()).toEqual({
    a: { b: [[{ c: [1, { d: [2] }], e: "[[[[ {{{{\n" }, "x [ y"]] },
  });
});

test("a file that has no end, is larger than any list, or is waited for, is not read", () => {
  expect(() => readInputFile("sweep.yaml line 2: list_file ", "/dev/zero")).toThrow(
    "sweep.yaml line 2: list_file /dev/zero: is a device, expected a file",
  );
  const large = join(tempFolder(), "models.txt");
  writeFileSync(large, "");
  truncateSync(large, 9 * 1024 ** 2);
  expect(() => listEntries("sweep.yaml line 2", large, "")).toThrow(
    `sweep.yaml line 2: list_file ${large}: has 9437184 bytes, at most 8388608 are read`,
  );
  const pipe = join(tempFolder(), "pipe");
  execFileSync("mkfifo", [pipe]);
  expect(() => listEntries("sweep.yaml line 2", pipe, "")).toThrow(
    `sweep.yaml line 2: list_file ${pipe}: is a pipe, expected a file`,
  );
});

test.each([
  ["/models/**", /'\*\*' would look through everything below it/],
  ["/*/*/*/*/*/x", /at most 4 folders of a path may be patterns/],
  ["*a*a*a*a*b", /more than 3 wildcards/],
  ["*a*a/*a*a/*a*b", /its names have 3 further \* beside the first one of each, at most 2 are tried/],
  ["{a,a,a,a}{a,a,a,a}/{a,a,a,a}{a,a}b", /can be taken in more than 64 ways/],
  ["+(a|aa)b", /patterns are made of/],
  ["x".repeat(2_000), /at most 1000 characters/],
])("the pattern %s is refused: it could keep a coordinator busy", (pattern, problem) => {
  expect(() => requireBoundedGlob("sweep.yaml line 3: models", pattern)).toThrow(problem);
  expect(() => requireBoundedGlob("sweep.yaml line 3: models", pattern)).toThrow(InputError);
});

test.each([
  "zoo/*",
  "runs/*/checkpoint-[0-9]*",
  "{a,b}/codebert-?",
  "/models/team-*/*/best*",
  "*-v[0-9]*/{code,unix}-*/run-*-[0-9]*",
])("the pattern %s is taken", (pattern) => expect(() => requireBoundedGlob("models", pattern)).not.toThrow());
