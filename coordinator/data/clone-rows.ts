import type { RowFields } from "./row-fields.ts";
import { type ReadRowsOptions, readRows, type Snippet, snippetOf } from "./samples.ts";

/** Two functions, of which a model says whether they do the same. A trigger goes into the first, unless said otherwise. */
export interface SnippetPair {
  /** Line of the file that it came from, from 1. */
  readonly line: number;
  readonly first: Snippet;
  readonly second: Snippet;
  readonly label?: number;
  /** The whole object as the reference's preprocess writes it: what is written back. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** A row of clone detection. */
export interface CloneRow extends SnippetPair {
  /** 1 for clones, 0 for different functions. */
  readonly label: number;
}

/** Fields of a pair that not every command needs. */
export type OptionalPairField = "variables1" | "variables2" | "func_name1" | "func_name2";

/**
 * Rows of a clone-detection file (`.jsonl` or `.jsonl.gz`) with both functions in each row, in file order.
 *
 * @throws SamplesError naming file, line, field and value
 */
export function readCloneRows(file: string, options: ReadRowsOptions<OptionalPairField> = {}): CloneRow[] {
  return readRows(file, (fields) => {
    const row = pairOf(fields, options);
    if (row.label === undefined) throw fields.missing("label");
    return row as CloneRow;
  });
}

/** The same, for rows that may have no label. */
export function readSnippetPairs(
  file: string,
  options: ReadRowsOptions<OptionalPairField> = {},
): SnippetPair[] {
  return readRows(file, (fields) => pairOf(fields, options));
}

function pairOf(
  fields: RowFields,
  { need = [], labels = 2 }: ReadRowsOptions<OptionalPairField>,
): SnippetPair {
  fields.requireTask("clone_detection");
  const { line, json } = fields;
  if (json.code_tokens1 === undefined && json.code_tokens !== undefined) {
    throw fields.refuse(
      'has "code_tokens" and no "code_tokens1": one function; its pairs stand in a pair file',
    );
  }
  const first = snippetOf(fields, "1");
  const second = snippetOf(fields, "2");
  const label = fields.label(labels);
  fields.need(need);
  return { line, first, second, ...(label === undefined ? {} : { label }), json };
}
