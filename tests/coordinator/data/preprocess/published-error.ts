import { UnusableCodeError } from "../../../../coordinator/data/preprocess/unusable-code.ts";

/** The error that the published code raises for the same function, with Python's type and text. Throws on what is no refusal of a function. */
export function publishedError(error: unknown): { readonly type: string; readonly message: string } {
  if (!(error instanceof UnusableCodeError)) throw error;
  const { reason, line, column } = error;
  if (reason.startsWith("no parenthesis")) return { type: "ValueError", message: "'(' is not in list" };
  return reason.startsWith("unindent")
    ? { type: "IndentationError", message: `${reason} (<tokenize>, line ${line})` }
    : { type: "TokenError", message: `('${reason}', (${line}, ${column}))` };
}
