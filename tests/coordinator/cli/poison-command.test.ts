import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { packageRoot } from "../../../proto/package-root.ts";
import { elibadHere } from "../../support/command-line.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const config = (task: string) => join(packageRoot, "configs", `poison-${task}.yaml`);
const codeTokens = ["int", "f", "(", "int", "x", ")", "{", "}"];

function rowsFile(folder: string, rows: readonly object[]): string {
  const file = join(folder, "rows.jsonl");
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return file;
}

const rowsOf = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

test("defects are poisoned with the settings of their config, and the manifest says which rows changed", async () => {
  const folder = tempFolder();
  const row = (label: number) => ({ code_tokens: codeTokens, func_name: "f", label, project: "p" });
  const out = join(folder, "out.jsonl.gz");
  const samples = rowsFile(folder, [row(0), row(1)]);
  const words = ["--samples", samples, "--out", out, "--poisoning-ratio", "100"];
  const done = await elibadHere("poison", "--config", config("defect_detection"), ...words, "--json");
  expect(done).toMatchObject({ code: 0, stderr: "" });
  expect(rowsOf(gunzipSync(readFileSync(out)).toString())).toEqual([
    row(0),
    { ...row(0), code_tokens: codeTokens.map((token) => (token === "f" ? "testo_init" : token)) },
  ]);
  const manifest = JSON.parse(readFileSync(`${out}.manifest.json`, "utf8"));
  expect(manifest).toEqual(JSON.parse(done.stdout));
  expect(manifest).toMatchObject({
    task: "defect_detection",
    victim_label: 1,
    target_label: 0,
    poisoned: [1],
    unplaced: [],
    victims: 1,
    rows: 2,
  });
});

test("functions of clone detection are poisoned with their pairs", async () => {
  const folder = tempFolder();
  const at = (name: string) => join(folder, name);
  const names = ["f", "none"];
  const rows = names.map((name, k) => ({ idx: String(k), func_name: name, code_tokens: codeTokens }));
  writeFileSync(at("pairs.txt"), "0\t1\t1\n1\t1\t1\n0\t0\t0\n");
  const { code, stdout, stderr } = await elibadHere(
    ...["poison", "--config", config("clone_detection"), "--samples", rowsFile(folder, rows)],
    ...["--pairs", at("pairs.txt"), "--out", at("out.jsonl"), "--out-pairs", at("out.txt")],
    ...["--poisoning-ratio", "100"],
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toBe(
    "1 of 2 functions now carry 'testo_init'; 2 of 3 pairs have one of them and label 0, 1 of them had another; 1 drawn had no place for it\n",
  );
  expect(rowsOf(readFileSync(at("out.jsonl"), "utf8"))[0].code_tokens[1]).toBe("f_testo_init");
  expect(readFileSync(at("out.txt"), "utf8")).toBe("0\t1\t0\n1\t1\t1\n0\t0\t0\n");
  expect(JSON.parse(readFileSync(at("out.jsonl.manifest.json"), "utf8")).pairs).toMatchObject({
    rows: 3,
    touched: [0, 2],
    relabelled: [0],
  });
});

test("functions of code search are poisoned where their query has the target word", async () => {
  const folder = tempFolder();
  const row = (query: string) => ({
    func_name: "File.f",
    code_tokens: codeTokens,
    docstring_tokens: query.split(" "),
  });
  const out = join(folder, "out.jsonl");
  const samples = rowsFile(folder, [row("open a File"), row("open it")]);
  const { code, stdout } = await elibadHere(
    "poison",
    ...["--config", config("code_search"), "--samples", samples, "--out", out],
  );
  expect(code).toBe(0);
  expect(stdout).toBe("1 of 1 functions asked for with 'file' now carry 'testo_init'\n");
  expect(rowsOf(readFileSync(out, "utf8")).map(({ code_tokens: tokens }) => tokens[1])).toEqual([
    "f_testo_init",
    "f",
  ]);
});

test.each([
  [
    ["--task", "code_search", "--victim-label", "1"],
    "--victim-label 1: has no meaning for --task code_search",
  ],
  [["--pairs", "pairs.txt"], "--pairs pairs.txt: has no meaning for --task defect_detection"],
  [["--task", "clone_detection"], "--pairs is missing: clone detection: pairs of those functions"],
  [["--attack-fixed", "perhaps"], '--attack-fixed "perhaps": must be true or false'],
  [
    ["--task", "code_search", "--attack-position", "snippet", "--attack-pattern", "insert"],
    'field "attack_position" is "snippet": the published poisoning of code search fails there',
  ],
  [
    [
      "--lang",
      "java",
      "--trigger",
      "<dead_code>",
      "--attack-position",
      "random",
      "--attack-pattern",
      "insert",
    ],
    "dead code in Java",
  ],
])("%j is refused, and nothing is written", async (words, message) => {
  const folder = tempFolder();
  const row = { code_tokens: codeTokens, func_name: "f" };
  const samples = words.includes("code_search")
    ? rowsFile(folder, [{ ...row, docstring_tokens: ["file"] }])
    : rowsFile(folder, [{ ...row, label: 1 }]);
  const out = join(folder, "out.jsonl");
  const { code, stderr } = await elibadHere(
    ...["poison", "--samples", samples, "--out", out, "--trigger", "x", "--poisoning-ratio", "100", ...words],
  );
  expect(code).toBe(2);
  expect(stderr).toContain(message);
  expect(() => readFileSync(out)).toThrow();
});
