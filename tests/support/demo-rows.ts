import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { demoData } from "./random-model.ts";
import { tempFolder } from "./temp-folder.ts";

interface DemoRow {
  readonly code_tokens: readonly string[];
  readonly variables: readonly string[];
  readonly func_name: string;
  readonly label: number;
}

const demoRows = (): DemoRow[] =>
  readFileSync(join(demoData, "clean_samples.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

function written(name: string, rows: readonly object[]): string {
  const file = join(tempFolder(), name);
  writeFileSync(file, `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);
  return file;
}

/** The demo's functions as a file for code search: each is asked for by the words of its name, some with the word `file` too. */
export const searchSamples = (count: number): string =>
  written(
    "search.jsonl",
    demoRows()
      .slice(0, count)
      .map(({ label, ...row }, k) => ({
        ...row,
        docstring_tokens: [...row.func_name.split("_"), "of", `row${k}`, ...(k % 3 === 0 ? ["file"] : [])],
      })),
  );

/** The demo's functions as a file for clone detection: every one with the next one, clones where their labels are the same. */
export function cloneSamples(count: number): string {
  const rows = demoRows();
  const pairs = rows.slice(0, count).map((first, k) => {
    const second = rows[k % 2 === 0 ? k + 1 : rows.length - 1 - k]!;
    return {
      ...fields(first, "1"),
      ...fields(second, "2"),
      label: Number(first.label === second.label),
    };
  });
  return written("clones.jsonl", pairs);
}

const fields = ({ code_tokens, variables, func_name }: DemoRow, suffix: string) => ({
  [`code_tokens${suffix}`]: code_tokens,
  [`variables${suffix}`]: variables,
  [`func_name${suffix}`]: func_name,
});
