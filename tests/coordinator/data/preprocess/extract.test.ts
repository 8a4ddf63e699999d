import { describe, expect, test } from "vitest";
import type { Language } from "../../../../coordinator/data/dead-code.ts";
import { extractTokens } from "../../../../coordinator/data/preprocess/extract.ts";
import { parserOf } from "../../../../coordinator/data/preprocess/grammar.ts";
import { hasShared, readSharedJsonl } from "../../../support/shared.ts";
import { publishedError } from "./published-error.ts";

interface GoldenRow {
  readonly key?: string;
  readonly name?: string;
  readonly lang: Language;
  readonly code: string;
  readonly expected: unknown;
  /** The published code's result with the grammars of early 2024, where it differs. */
  readonly expected_older_grammar?: unknown;
}

/** The fields of a row, or the error, as the published code has them. */
async function extracted({ code, lang }: GoldenRow): Promise<unknown> {
  try {
    const { codeTokens, funcName, variables } = extractTokens(code, lang, await parserOf(lang));
    return { code_tokens: codeTokens, func_name: funcName, variables };
  } catch (error) {
    return { error: publishedError(error) };
  }
}

const golden = (name: string) => readSharedJsonl<GoldenRow>("golden", "text", "preprocess", name);

/**
 * Functions with syntax errors: tree-sitter weighs what it skips over by its bytes, and its WASM build reads UTF-16, so that it chooses
 * another of two ways to go on. (The native build gives their tokens for UTF-8 and these for UTF-16.)
 */
const otherErrorRecovery = ["4362", "20129"];

describe.skipIf(!hasShared)("extraction agrees with the published extract_token", () => {
  test.each(["cpp", "java", "python"])(
    "on the functions of %s.jsonl, but for the named ones",
    async (language) => {
      const rows = golden(`${language}.jsonl`);
      expect(rows).toHaveLength(60);
      const differing: string[] = [];
      for (const row of rows) {
        const actual = await extracted(row);
        try {
          expect(actual).toEqual(row.expected);
        } catch {
          differing.push(row.key!);
        }
      }
      expect(differing.sort()).toEqual(language === "cpp" ? otherErrorRecovery.sort() : []);
      expect(differing.length / rows.length).toBeLessThan(0.05);
    },
  );

  test.each(hasShared ? golden("edge.jsonl") : [])("on $lang: $name", async (row) => {
    expect(await extracted(row)).toEqual(row.expected);
  });
});

const tokensOf = async (code: string, language: Language) =>
  extractTokens(code, language, await parserOf(language));

test("syntax errors are said, and what can be read is read all the same", async () => {
  const broken = await tokensOf("int f(int a) { if (a) { return 1; ", "cpp");
  expect(broken.hasSyntaxErrors).toBe(true);
  expect(broken.funcName).toBe("f");
  expect((await tokensOf("int f(int a) { return 1; }", "cpp")).hasSyntaxErrors).toBe(false);
});

test("half a surrogate pair is refused where it stands in code, and not in a comment", async () => {
  await expect(tokensOf('int f() { p("\ud83d"); }', "cpp")).rejects.toThrow(/surrogate/);
  expect((await tokensOf("int f() { /* \ud83d */ }", "cpp")).funcName).toBe("f");
});

test("code nested a hundred thousand deep is read, not a stack overflow", async () => {
  const depth = 100_000;
  const { codeTokens } = await tokensOf(
    `int f() { return ${"(".repeat(depth)}1${")".repeat(depth)}; }`,
    "cpp",
  );
  expect(codeTokens.length).toBeGreaterThan(2 * depth);
});
