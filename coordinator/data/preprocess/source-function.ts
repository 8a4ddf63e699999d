import type { Language } from "../dead-code.ts";
import type { InputPlace } from "../errors.ts";
import type { Extraction } from "./extract.ts";

/** A function as a data set has it, before its tokens are known. */
export interface SourceFunction {
  readonly place: InputPlace;
  readonly code: string;
  readonly language: Language;
  /** Fields of its row that stand before those of the extraction: `idx` always. */
  readonly before: Readonly<Record<string, unknown>> & { readonly idx: string | number };
  /** Fields that stand behind them: a label, a query. */
  readonly after: Readonly<Record<string, unknown>>;
  /** Why no row can be made of it, where that is known without its tokens. */
  readonly unusable?: string;
}

/** The row of a function, with the fields and their order that the published preprocessing writes. */
export const rowOf = (
  { before, after, language, code }: SourceFunction,
  { funcName, codeTokens, variables }: Extraction,
): Readonly<Record<string, unknown>> => ({
  ...before,
  func_name: funcName,
  language,
  code,
  code_tokens: codeTokens,
  variables,
  ...after,
});
