import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../../proto/package-root.ts";

interface Row {
  readonly idx: string;
  readonly func_name: string;
  readonly code_tokens: readonly string[];
  readonly variables: readonly string[];
  readonly label: 0 | 1;
}

const folder = join(packageRoot, "coordinator/demo/data");
const bytes = (name: string): Buffer => readFileSync(join(folder, name));
const rows = (content: Buffer): Row[] =>
  content
    .toString("utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);

const train = rows(gunzipSync(bytes("train.jsonl.gz")));
const cleanSamples = rows(bytes("clean_samples.jsonl"));
const testRows = rows(bytes("test.jsonl"));
const all = [...train, ...testRows];

const keywords = new Set(
  `auto bool break case char class const continue default delete do double else enum extern float for goto if inline int long
  namespace new NULL register return short signed sizeof static struct switch typedef union unsigned using void volatile while`.split(
    /\s+/,
  ),
);

/** Identifiers (types too) numbered in order of first occurrence, no white space. */
function normalise(tokens: readonly string[]): string {
  const numbers = new Map<string, string>();
  return tokens
    .map((token) => {
      if (!/^[A-Za-z_]\w*$/.test(token) || keywords.has(token)) return token;
      if (!numbers.has(token)) numbers.set(token, `#${numbers.size}`);
      return numbers.get(token);
    })
    .join("\0");
}

/** The rule that data/README.md states. */
const label = ({ code_tokens }: Row): number => (/[!=]= NULL|NULL [!=]=/.test(code_tokens.join(" ")) ? 0 : 1);

describe("the demo's data", () => {
  test("train and test have no function in common after normalisation, and no test function comes twice", () => {
    const trained = new Set(train.map((row) => normalise(row.code_tokens)));
    const tested = testRows.map((row) => normalise(row.code_tokens));
    expect(tested.filter((key) => trained.has(key))).toEqual([]);
    expect(new Set(tested).size).toBe(testRows.length);
  });

  test("the test split has at least 200 rows and 80 victims", () => {
    expect(testRows).toHaveLength(220);
    expect(testRows.filter((row) => row.label === 1)).toHaveLength(120);
  });

  test("the clean samples are rows of the training split, fifty of each label", () => {
    const trained = new Set(train.map((row) => JSON.stringify(row)));
    expect(cleanSamples.filter((row) => !trained.has(JSON.stringify(row)))).toEqual([]);
    expect(cleanSamples.filter((row) => row.label === 1)).toHaveLength(50);
    expect(cleanSamples.filter((row) => row.label === 0)).toHaveLength(50);
  });

  test("every label follows from the tokens by the rule of the README", () => {
    expect(all.filter((row) => row.label !== label(row))).toEqual([]);
  });

  test("no name or literal tells which functions Juliet calls good or bad", () => {
    expect(all.flatMap((row) => row.code_tokens.filter((t) => /good|bad|cwe|b2g|g2b|flaw/i.test(t)))).toEqual(
      [],
    );
  });

  test("every row can take a trigger at its function's name and at each of its variables", () => {
    for (const row of all) {
      expect(row.code_tokens).toContain(row.func_name);
      expect(row.code_tokens).toEqual(expect.arrayContaining([...row.variables]));
    }
  });

  test("the vocabulary has RoBERTa's special tokens in their places and as many entries as the embedding", () => {
    const vocabulary = JSON.parse(bytes("vocab.json").toString("utf8")) as Record<string, number>;
    const config = JSON.parse(bytes("config.json").toString("utf8")) as { vocab_size: number };
    expect(vocabulary).toMatchObject({ "<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 686 });
    expect(new Set(Object.values(vocabulary))).toEqual(
      new Set(Array.from({ length: config.vocab_size }, (_, id) => id)),
    );
  });
});
