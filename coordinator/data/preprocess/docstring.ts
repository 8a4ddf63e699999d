import { words } from "../blanks.ts";
import { SamplesError } from "../errors.ts";
import { pythonTokens } from "./python-tokens.ts";
import type { FileRecord } from "./read-records.ts";

/** The query that a record of code search has; undefined where it has none. @throws SamplesError for a field that is neither text nor a list of it */
export function docstringTokens({ place, value }: FileRecord): readonly string[] | undefined {
  const { docstring_tokens: tokens, docstring } = value;
  if (Array.isArray(tokens) && tokens.every((token) => typeof token === "string")) return tokens;
  if (typeof tokens === "string") return words(tokens);
  if (tokens !== undefined && tokens !== null) {
    throw new SamplesError("expected a list of strings", {
      ...place,
      field: "docstring_tokens",
      value: tokens,
    });
  }
  return typeof docstring === "string" ? queryTokens(docstring) : undefined;
}

/** The query in Python code's own docstring: the first string that begins an indented block; undefined where there is none. */
export function docstringOf(code: string): readonly string[] | undefined {
  let before = "";
  for (const { kind, text } of pythonTokens(code)) {
    if (kind === "string" && before === "indent") {
      return queryTokens(text.replace(/^[a-zA-Z]*('''|"""|'|")(.*)\1$/s, "$2"));
    }
    before = kind;
  }
  return undefined;
}

/** Words and runs of one sign, as CodeSearchNet cuts docstrings. */
const word =
  /[^\s,'"`.():[\]=*;>{}+\-/\\]+|\\+|\.+|\(\)|\{\}|\[\]|\(+|\)+|:+|\[+|\]+|\{+|\}+|=+|\*+|;+|>+|\++|-+|\/+/g;

/** The tokens of a docstring's summary: its first paragraph, else what stands before its first `@`. */
function queryTokens(docstring: string): readonly string[] {
  const text = docstring.trim();
  const summary = text.includes("\n\n") ? text.split("\n\n")[0]! : text.split("@")[0]!;
  return summary.match(word) ?? [];
}
