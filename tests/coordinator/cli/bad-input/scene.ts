import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EXIT } from "../../../../coordinator/cli/errors.ts";
import { elibadHere } from "../../../support/command-line.ts";
import { demoConfig, demoData, writeRandomModel } from "../../../support/random-model.ts";
import { tempFolder } from "../../../support/temp-folder.ts";

/** Input that is right in everything, in a folder of its own, for a case to spoil. */
export interface Scene {
  readonly folder: string;
  /** Checkpoint folder with `model.bin`, `config.json`, `vocab.json` and `merges.txt`. */
  readonly model: string;
  /** Ten rows of the demo's clean samples, of both labels. */
  readonly samples: string;
  /** Where the command writes; not there yet. */
  readonly out: string;
}

/** A wrong use of `elibad`. */
export interface Case {
  readonly name: string;
  /** Spoils the scene and gives the words of the command line. */
  readonly words: (scene: Scene) => readonly string[] | Promise<readonly string[]>;
  /** What the line on stderr has to name: file, field and value. */
  readonly says: readonly (string | RegExp)[];
  /** Exit code; 2, wrong use or input, where it is not given. */
  readonly code?: number;
}

/** Tokens that the scene's model knows. */
export const { vocabSize } = demoConfig;

let goodModel = "";

/** Makes the checkpoint that scenes start from, once for a test file. */
export function useGoodModel(): void {
  const folder = mkdtempSync(join(tmpdir(), "elibad-test-"));
  beforeAll(async () => {
    goodModel = await writeRandomModel(join(folder, "model"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
}

export function newScene(): Scene {
  const folder = tempFolder();
  const [model, samples, out] = ["model", "samples.jsonl", "out"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  cpSync(goodModel, model, { recursive: true });
  const rows = readFileSync(join(demoData, "clean_samples.jsonl"), "utf8").trim().split("\n");
  const label = (row: string) => (JSON.parse(row) as { label: number }).label;
  const some = [0, 1].flatMap((each) => rows.filter((row) => label(row) === each).slice(0, 5));
  writeFileSync(samples, `${some.join("\n")}\n`);
  return { folder, model, samples, out };
}

/** A short scan that works where nothing is spoilt. Later words win over earlier ones. */
export const scanWords = ({ model, samples, out }: Scene, ...more: readonly string[]): string[] => [
  ...["scan", "--model", model, "--samples", samples, "--out", out],
  ...["--code-max-len", "64", "--epochs", "1", "--repeat-size", "2", "--num-samples", "2", "--workers", "1"],
  ...more,
];

/** A scan of the scene's model after something was done to it. */
export const scanAfter =
  (spoil: (scene: Scene) => void | Promise<void>): Case["words"] =>
  async (scene) => {
    await spoil(scene);
    return scanWords(scene);
  };

/** The same after keys of `config.json` were changed; `undefined` removes one. */
export const config = (changes: Readonly<Record<string, unknown>>): Case["words"] =>
  scanAfter((scene) => editConfig(scene, changes));

/** Every file under a folder with its content, to see that nothing changed. */
export function contentsOf(folder: string): Map<string, string> {
  const files = readdirSync(folder, { withFileTypes: true, recursive: true });
  return new Map(
    files
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        return [relative(folder, path), entry.isFile() ? readFileSync(path, "latin1") : "(no file)"] as const;
      })
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** A test for each case: refused as `expectRefused` says. */
export function refuses(cases: readonly Case[]): void {
  for (const each of cases) test(each.name, () => expectRefused(each));
}

/** One clear line on stderr, the exit code, and no trace of the attempt on the disk. */
export async function expectRefused({
  words,
  says,
  code = EXIT.wrongInput,
}: Omit<Case, "name">): Promise<void> {
  const scene = newScene();
  const line = await words(scene);
  const before = contentsOf(scene.folder);
  const run = await elibadHere(...line);
  expectOneLine(run.stderr, says);
  expect(run.code).toBe(code);
  expect(run.stdout).toBe("");
  expect([...contentsOf(scene.folder)]).toEqual([...before]);
}

export function expectOneLine(stderr: string, says: readonly (string | RegExp)[]): void {
  for (const each of says) {
    if (typeof each === "string") expect(stderr).toContain(each);
    else expect(stderr).toMatch(each);
  }
  expect(stderr).toMatch(/^elibad( [a-z]+){0,2}: .*\n$/); // one line: `.` is no line break
  expect(stderr).not.toMatch(/ at .*:\d+:\d+|node:internal|undefined|\[object/);
  expect(stderr.length).toBeLessThan(700);
}

/** Replaces part of a text file of the scene. */
export function edit(file: string, change: (text: string) => string): void {
  writeFileSync(file, change(readFileSync(file, "utf8")));
}

/** Changes `config.json` of the scene's model; `undefined` removes a key. */
function editConfig({ model }: Pick<Scene, "model">, changes: Readonly<Record<string, unknown>>): void {
  edit(join(model, "config.json"), (text) => JSON.stringify({ ...JSON.parse(text), ...changes }));
}

/** Replaces one row of the samples, the first where `line` is not given. */
export function editRow(
  { samples }: Pick<Scene, "samples">,
  changes: Readonly<Record<string, unknown>>,
  line = 1,
): void {
  edit(samples, (text) => {
    const rows = text.split("\n");
    rows[line - 1] = JSON.stringify({ ...JSON.parse(rows[line - 1]!), ...changes });
    return rows.join("\n");
  });
}
