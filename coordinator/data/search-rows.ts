import { type OptionalField, type ReadRowsOptions, readRows, type Snippet, snippetOf } from "./samples.ts";

/** A row of code search: a function, and the words that describe it. */
export interface SearchRow extends Snippet {
  /** Line of the file that it came from, from 1. */
  readonly line: number;
  /** Words of the docstring (`docstring_tokens`): what a user would ask for. */
  readonly queryTokens: readonly string[];
  /** The whole object: what is written back. */
  readonly json: Readonly<Record<string, unknown>>;
}

/**
 * Rows of a code-search file (`.jsonl` or `.jsonl.gz`), in file order: raw pairs of docstring and code, or preprocessed ones with
 * `variables`.
 *
 * @throws SamplesError naming file, line, field and value; an empty query is one
 */
export function readSearchRows(
  file: string,
  { need = [] }: Pick<ReadRowsOptions<OptionalField>, "need"> = {},
): SearchRow[] {
  return readRows(file, (fields) => {
    fields.requireTask("code_search");
    const { line, json } = fields;
    const snippet = snippetOf(fields);
    const queryTokens = fields.strings("docstring_tokens");
    if (queryTokens === undefined) throw fields.missing("docstring_tokens");
    // A query of one empty word is let through: CodeSearchNet has such rows, and the published metrics count them.
    if (queryTokens.length === 0) {
      throw fields.wrong("is an empty query", "docstring_tokens", queryTokens);
    }
    fields.need(need);
    return { line, ...snippet, queryTokens, json };
  });
}

/** The text of a query as the model reads it. */
export const queryText = (queryTokens: readonly string[]): string => queryTokens.join(" ");
