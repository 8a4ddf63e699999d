import { expect, test } from "vitest";
import { JsonLimitError, parseJson, printable } from "../../proto/json-text.ts";

const nested = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);

test("JSON is a hundred brackets deep at most, and those in strings are none", () => {
  expect(() => parseJson(nested(100))).not.toThrow();
  expect(() => parseJson(nested(101))).toThrow(JsonLimitError);
  const texts = [nested(101), `"${nested(101)}`, `\\"${nested(101)}\\`, "\\"];
  expect(parseJson(JSON.stringify(texts))).toEqual(texts);
});

test("values are counted, but for those who say that there may be any number", () => {
  const text = `[${"0,".repeat(2_000_000)}0]`;
  expect(() => parseJson(text)).toThrow("has more than 2000000 values");
  expect(parseJson(text, { values: Number.POSITIVE_INFINITY })).toHaveLength(2_000_001);
});

test("what the largest models have is far within the limits", () => {
  const many = <T>(count: number, of: (k: number) => T): T[] =>
    Array.from({ length: count }, (_, k) => of(k));
  const tokenizer = {
    vocab: Object.fromEntries(many(50_000, (k) => [`t${k}`, k])),
    merges: many(50_000, (k) => [`a${k}`, `b${k}`]),
  };
  const header = Object.fromEntries(
    many(10_000, (k) => [
      `layer.${k}.weight`,
      { dtype: "F32", shape: [4096, 4096], data_offsets: [k, k + 1] },
    ]),
  );
  for (const value of [tokenizer, header])
    expect(parseJson(JSON.stringify(value), { values: 400_000 })).toEqual(value);
});

test("what a terminal would obey or turn round is shown as JSON escapes it, and nothing else is changed", () => {
  const text = "\u001b[31m\u0000\n\u0085\u2028\u202e a\\é漢𝒳\ud800";
  const shown = "\\u001b[31m\\u0000\\u000a\\u0085\\u2028\\u202e a\\é漢𝒳\ud800";
  expect(printable(text)).toBe(shown);
  expect(JSON.parse(printable(JSON.stringify(text)))).toBe(text);
});

test("what is no JSON is told in characters that a terminal can show", () => {
  expect(() => parseJson("\u001b[2J")).toThrow(SyntaxError);
  expect(() => parseJson("\u001b[2J")).toThrow(/^[^\p{Cc}]+$/u);
});
