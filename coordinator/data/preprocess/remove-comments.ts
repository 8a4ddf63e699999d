import { pythonBlankClass } from "../blanks.ts";
import type { Language } from "../dead-code.ts";
import { endOfMatch } from "./end-of-match.ts";
import { pythonTokens } from "./python-tokens.ts";

/**
 * Source without its comments and without lines of blanks, as the published `remove_comments_and_docstrings` has it. In C and Java each
 * comment becomes a blank. In Python each string that begins a statement goes too, docstring or not, and what separated tokens becomes blanks.
 *
 * @throws UnusableCodeError for Python source that Python's `tokenize` refuses
 */
export function removeComments(source: string, language: Language): string {
  const bare = language === "python" ? withoutDocstrings(source) : withoutSlashComments(source);
  return bare
    .split("\n")
    .filter((line) => hasInk.test(line))
    .join("\n");
}

const hasInk = new RegExp(`[^${pythonBlankClass}]`, "u");

/** What opens a comment, or a literal in which comment marks mean nothing. */
const opening = /\/\/|\/\*|'|"/g;

const endings: Readonly<Record<string, RegExp>> = {
  "//": /[^\n]*/y,
  "/*": /.*?\*\//sy,
  "'": /[^\\']*(?:\\.[^\\']*)*'/sy,
  '"': /[^\\"]*(?:\\.[^\\"]*)*"/sy,
};

function withoutSlashComments(source: string): string {
  let kept = "";
  let from = 0;
  // What opens and never ends means nothing; nor does another of its kind behind it, so that each is looked for once only.
  const endless = new Set<string>();
  opening.lastIndex = 0;
  for (let match = opening.exec(source); match; match = opening.exec(source)) {
    const mark = match[0];
    const end = endless.has(mark) ? undefined : endOfMatch(endings[mark]!, source, opening.lastIndex);
    if (end === undefined) {
      endless.add(mark);
      opening.lastIndex = match.index + 1;
      continue;
    }
    if (mark.startsWith("/")) {
      kept += `${source.slice(from, match.index)} `;
      from = end;
    }
    opening.lastIndex = end;
  }
  return kept + source.slice(from);
}

function withoutDocstrings(source: string): string {
  let kept = "";
  let before = "indent";
  let [lastLine, lastColumn] = [-1, 0];
  for (const { kind, text, line, column, endLine, endColumn } of pythonTokens(source)) {
    if (line > lastLine) lastColumn = 0;
    kept += " ".repeat(Math.max(0, column - lastColumn));
    const beginsStatement = before === "indent" || before === "newline" || column === 0;
    if (kind !== "comment" && !(kind === "string" && beginsStatement)) kept += text;
    [before, lastLine, lastColumn] = [kind, endLine, endColumn];
  }
  return kept;
}
