/** Patterns of CPython 3.11's `Lib/tokenize.py`. */

export const leadingBlanks = /[ \t\f]+/y;

/** A string's opening, with its prefix; the group is its quotes. */
export const stringStart = /^[a-zA-Z]{0,2}('''|"""|'|")/;

/** By its opening quotes: the rest of a string. `.` of the Python patterns is `[^\\n]` here: JavaScript's knows more line breaks. */
export const stringEndings: Readonly<Record<string, RegExp>> = {
  "'": /[^'\\]*(?:\\[^\n][^'\\]*)*'/y,
  '"': /[^"\\]*(?:\\[^\n][^"\\]*)*"/y,
  "'''": /[^'\\]*(?:(?:\\[^\n]|'(?!''))[^'\\]*)*'''/y,
  '"""': /[^"\\]*(?:(?:\\[^\n]|"(?!""))[^"\\]*)*"""/y,
};

const prefix = "(?:[bB][rR]?|[rR][bBfF]?|[fF][rR]?|[uU])?";
const exponent = "[eE][-+]?[0-9](?:_?[0-9])*";
const pointNumber = `(?:[0-9](?:_?[0-9])*\\.(?:[0-9](?:_?[0-9])*)?|\\.[0-9](?:_?[0-9])*)(?:${exponent})?`;
const floatNumber = `(?:${pointNumber}|[0-9](?:_?[0-9])*${exponent})`;
const wholeNumber =
  "(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0(?:_?0)*|[1-9](?:_?[0-9])*)";
const operator =
  "~|\\}|\\|=|\\||\\{|\\^=|\\^|\\]|\\[|@=|@|>>=|>>|>=|>|==|=|<=|<<=|<<|<|;|:=|:|/=|//=|//|/|\\.\\.\\.|\\.|->|-=|-|,|\\+=|\\+|\\*=|\\*\\*=|\\*\\*|\\*|\\)|\\(|&=|&|%=|%|!=";

/** One token (the group) with the blanks before it; alternatives in the order in which Python tries them. */
export const pseudoToken = new RegExp(
  `[ \\f\\t]*(${[
    ...["\\\\\\r?\\n", "$", "#[^\\r\\n]*", `${prefix}'''`, `${prefix}"""`],
    ...[`[0-9](?:_?[0-9])*[jJ]`, `${floatNumber}[jJ]`, floatNumber, wholeNumber],
    ...["\\r?\\n", operator],
    `${prefix}'[^\\n'\\\\]*(?:\\\\[^\\n][^\\n'\\\\]*)*(?:'|\\\\\\r?\\n)`,
    `${prefix}"[^\\n"\\\\]*(?:\\\\[^\\n][^\\n"\\\\]*)*(?:"|\\\\\\r?\\n)`,
    "[\\p{L}\\p{N}_]+",
  ].join("|")})`,
  "uy",
);
