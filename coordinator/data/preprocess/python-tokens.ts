import { stripStart } from "../blanks.ts";
import { endOfMatch } from "./end-of-match.ts";
import { leadingBlanks, pseudoToken, stringEndings, stringStart } from "./python-patterns.ts";
import { UnusableCodeError } from "./unusable-code.ts";

/** Kinds of tokens that removing comments and docstrings tells apart; a name, number, operator, dedent or blank line is `other`. */
export type PythonTokenKind = "comment" | "string" | "indent" | "newline" | "other";

/** A token of Python source. Lines count from 1; columns are UTF-16 units from 0. */
export interface PythonToken {
  readonly kind: PythonTokenKind;
  readonly text: string;
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

/**
 * Tokens of Python source as `tokenize.generate_tokens` of CPython 3.11 gives them: its pure Python scanner with its patterns, indentation
 * stack and errors. (From 3.12 on that module is the compiler's own scanner, which splits f-strings.) The dedents and the end marker after
 * the last line are left out.
 *
 * @throws UnusableCodeError where Python raises `TokenError` (a bracket or string that never closes) or `IndentationError`
 */
export function pythonTokens(source: string): Iterable<PythonToken> {
  return new Scanner().tokens(source);
}

/** What lines leave to the lines after them. */
class Scanner {
  readonly #indents = [0];
  #brackets = 0;
  /** True after a backslash at the end of a line. */
  #isContinued = false;
  #open: OpenString | undefined;
  /** A string in single quotes goes on only behind a backslash. One that does not leaves this set, also for the next string, as in Python. */
  #needsBackslash = false;
  /** True after blanks that have no line break, at the end of the source. */
  #endsInBlanks = false;
  /** The current line with its line break, and its number. */
  #text = "";
  #line = 0;

  *tokens(source: string): Generator<PythonToken> {
    // Only `\n` breaks lines, as in Python's `StringIO`.
    for (const text of source.match(/[^\n]*\n|[^\n]+/g) ?? []) {
      this.#text = text;
      this.#line++;
      const open = this.#open;
      if (open) yield* this.#goOn(open);
      else yield* this.#start();
    }
    if (this.#open) throw new UnusableCodeError("EOF in multi-line string", this.#open.place);
    if (this.#brackets !== 0 || this.#isContinued) {
      throw new UnusableCodeError("EOF in multi-line statement", { line: this.#line + 1, column: 0 });
    }
    const end = this.#text.length;
    if (end > 0 && !this.#endsInBlanks && !/[\r\n]$/.test(this.#text) && !isComment(this.#text)) {
      yield { ...this.#token("newline", end, end), endColumn: end + 1 };
    }
  }

  /** A line that begins inside a string. */
  *#goOn(open: OpenString): Generator<PythonToken> {
    const text = open.text + this.#text;
    const end = endOfMatch(open.ending, this.#text, 0);
    const isBroken = end === undefined && this.#needsBackslash && !/\\\r?\n$/.test(this.#text);
    this.#open = end === undefined && !isBroken ? { ...open, text } : undefined;
    if (this.#open) return;
    if (!isBroken) this.#needsBackslash = false;
    const stop = end ?? this.#text.length;
    yield {
      ...this.#token(isBroken ? "other" : "string", 0, stop),
      text: text.slice(0, text.length - this.#text.length + stop),
      line: open.place.line,
      column: open.column,
    };
    yield* this.#scan(stop);
  }

  /** A line that begins outside of strings: where it begins a statement, its indentation first. */
  *#start(): Generator<PythonToken> {
    const isStatement = this.#brackets === 0 && !this.#isContinued;
    this.#isContinued = false;
    if (!isStatement) return yield* this.#scan(0);
    const start = endOfMatch(leadingBlanks, this.#text, 0) ?? 0;
    // Lines of blanks or of a comment have no say in indentation. Blanks without a line break end the source.
    if (start === this.#text.length) {
      this.#endsInBlanks = true;
      return;
    }
    if (/[#\r\n]/.test(this.#text[start]!)) {
      const end = this.#text[start] === "#" ? this.#text.search(/[\r\n]*$/) : start;
      if (end > start) yield this.#token("comment", start, end);
      return yield this.#token("other", end, this.#text.length);
    }
    yield* this.#indent(start);
    yield* this.#scan(start);
  }

  *#indent(start: number): Generator<PythonToken> {
    const width = widthOf(this.#text.slice(0, start));
    if (width > this.#indents.at(-1)!) {
      this.#indents.push(width);
      yield this.#token("indent", 0, start);
    }
    while (width < this.#indents.at(-1)!) {
      if (!this.#indents.includes(width)) {
        const place = { line: this.#line, column: start };
        throw new UnusableCodeError("unindent does not match any outer indentation level", place);
      }
      this.#indents.pop();
      yield this.#token("other", start, start);
    }
  }

  /** Tokens from a place of the line to its end, or to a string that goes on in the next one. */
  *#scan(from: number): Generator<PythonToken> {
    for (let position = from; position < this.#text.length; ) {
      pseudoToken.lastIndex = position;
      const text = pseudoToken.exec(this.#text)?.[1];
      const end = text === undefined ? position + characterAt(this.#text, position) : pseudoToken.lastIndex;
      const start = end - (text?.length ?? end - position);
      position = end;
      if (text === "") continue;
      const quotes = text === undefined ? undefined : stringStart.exec(text)?.[1];
      if (quotes === undefined) {
        yield* this.#plainToken(text ?? "", start, end);
        continue;
      }
      const stringEnd = this.#endOfString(quotes, start, end);
      if (stringEnd === undefined) return;
      yield this.#token("string", start, stringEnd);
      position = stringEnd;
    }
  }

  *#plainToken(text: string, start: number, end: number): Generator<PythonToken> {
    if (text.startsWith("\\")) {
      this.#isContinued = true;
      return;
    }
    if (/^[([{]/.test(text)) this.#brackets++;
    else if (/^[)\]}]/.test(text)) this.#brackets--;
    const isLineBreak = /^[\r\n]/.test(text) && this.#brackets <= 0;
    yield this.#token(text.startsWith("#") ? "comment" : isLineBreak ? "newline" : "other", start, end);
  }

  /** Where a string ends whose opening was matched up to `matched`; undefined, and kept open, where that is in a later line. */
  #endOfString(quotes: string, start: number, matched: number): number | undefined {
    const isTriple = quotes.length === 3;
    const ending = stringEndings[quotes]!;
    // A string in single quotes was matched as a whole, or up to the backslash at the end of the line.
    const isWhole = !isTriple && !this.#text.slice(start, matched).endsWith("\n");
    const end = isWhole ? matched : isTriple ? endOfMatch(ending, this.#text, matched) : undefined;
    if (end === undefined) {
      this.#open = {
        place: { line: this.#line, column: [...this.#text.slice(0, start)].length },
        column: start,
        text: this.#text.slice(start),
        ending,
      };
      this.#needsBackslash ||= !isTriple;
    }
    return end;
  }

  #token(kind: PythonTokenKind, column: number, endColumn: number): PythonToken {
    const line = this.#line;
    return { kind, text: this.#text.slice(column, endColumn), line, column, endLine: line, endColumn };
  }
}

/** A string that goes on in the next line. */
interface OpenString {
  /** Where it began, in characters: for errors. */
  readonly place: { readonly line: number; readonly column: number };
  readonly column: number;
  /** What was read of it. */
  readonly text: string;
  /** The rest of it, up to its closing quotes. */
  readonly ending: RegExp;
}

const isComment = (line: string): boolean => stripStart(line).startsWith("#");

/** UTF-16 units of the character at a place. */
const characterAt = (text: string, position: number): number =>
  text.codePointAt(position)! > 0xffff ? 2 : 1;

/** Columns that blanks are wide: tabs reach to the next multiple of 8, a form feed starts anew. */
function widthOf(blanks: string): number {
  let width = 0;
  for (const each of blanks) {
    if (each === " ") width++;
    else width = each === "\t" ? (Math.floor(width / 8) + 1) * 8 : 0;
  }
  return width;
}
