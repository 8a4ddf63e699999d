import type { Language } from "../dead-code.ts";
import { docstringOf, docstringTokens } from "./docstring.ts";
import { idField, labelField, languageField, textField } from "./fields.ts";
import { type OnBytes, readRecords } from "./read-records.ts";
import type { SourceFunction } from "./source-function.ts";
import { UnusableCodeError } from "./unusable-code.ts";

/** How a file of a data set is read. */
export interface ReadOptions {
  readonly language: Language;
  readonly onBytes?: OnBytes;
}

/**
 * Devign's `function.json` (a list) or the same rows as JSONL: `func`, `target`, `project`, `commit_id`. A row without `idx` has the
 * place in the file as its id, as in the published code: what CodeXGLUE's index files name.
 *
 * @throws SamplesError naming file, line, field and value
 */
export async function* readDevign(
  file: string,
  { language, onBytes }: ReadOptions,
): AsyncGenerator<SourceFunction> {
  let index = 0;
  for await (const record of readRecords(file, onBytes)) {
    const { commit_id, project } = record.value;
    yield {
      place: record.place,
      code: textField(record, "func", "code"),
      language,
      before: { idx: idField(record, index++), commit_id, project },
      after: { label: labelField(record, "target", "label") },
    };
  }
}

/** BigCloneBench's `data.jsonl`: `func` and `idx`, which pair files name. @throws SamplesError naming file, line, field and value */
export async function* readBigCloneBench(
  file: string,
  { language, onBytes }: ReadOptions,
): AsyncGenerator<SourceFunction> {
  for await (const record of readRecords(file, onBytes)) {
    const code = textField(record, "func", "code");
    yield { place: record.place, code, language, before: { idx: idField(record) }, after: {} };
  }
}

/**
 * JSONL of CodeSearchNet. The code is `code`, `original_string` or `source_code`; the query is `docstring_tokens` (a list, or text with
 * blanks), else made from `docstring`, else from the docstring inside of Python code. A row without `idx` has the place in the file as its id.
 *
 * @throws SamplesError naming file, line, field and value
 */
export async function* readCodeSearchNet(
  file: string,
  { language, onBytes }: ReadOptions,
): AsyncGenerator<SourceFunction> {
  let index = 0;
  for await (const record of readRecords(file, onBytes)) {
    const { place, value } = record;
    const code = textField(record, "code", "original_string", "source_code");
    const own = languageField(record, language);
    const idx = value.idx === undefined ? index : idField(record);
    index++;
    const row = { place, code, language: own, before: { idx } };
    const { tokens, unusable } = queryOf(record, code, own);
    yield { ...row, after: { docstring_tokens: tokens }, ...(unusable === undefined ? {} : { unusable }) };
  }
}

function queryOf(
  record: Parameters<typeof docstringTokens>[0],
  code: string,
  language: Language,
): { readonly tokens: readonly string[]; readonly unusable?: string } {
  try {
    const tokens = docstringTokens(record) ?? (language === "python" ? docstringOf(code) : undefined) ?? [];
    return tokens.length > 0 ? { tokens } : { tokens, unusable: "no docstring, so no query" };
  } catch (error) {
    if (!(error instanceof UnusableCodeError)) throw error;
    return { tokens: [], unusable: error.reason };
  }
}
