import type { CloneRow } from "../data/clone-rows.ts";
import { codeText, type DefectRow, type Snippet } from "../data/samples.ts";
import { queryText, type SearchRow } from "../data/search-rows.ts";
import type { Tokenizer } from "../data/tokenizer.ts";

/** A function as words: what variants of the clean samples are made of. */
export interface WordFunction {
  readonly words: readonly string[];
  /** The function's own name; a word of `words`, or none of them where a variant lost it. */
  readonly funcName: string;
  readonly variables: readonly string[];
}

/** What a model answers, in words: a function, a pair of them (clone detection), or a query (code search). */
export interface Subject {
  /** One or two; none for a query. */
  readonly functions: readonly WordFunction[];
  /** Words of a query. */
  readonly query?: readonly string[];
}

/** What one clean row gives. */
export interface RepairSample {
  /** Absent in code search. */
  readonly label?: number;
  /** One; in code search the function and its query, in this order. */
  readonly subjects: readonly Subject[];
}

/** A row as a model reads it: ids with end tokens, without padding; `second` for the other function of a pair. */
export interface ModelRow {
  readonly ids: readonly number[];
  readonly second?: readonly number[];
}

/** How words become rows. */
export interface RowForm {
  readonly tokenizer: Tokenizer;
  /** Longest function, in tokens, end tokens included. */
  readonly maxLen: number;
  /** Longest query; code search only. */
  readonly nlMaxLen?: number;
}

export const defectSamples = (rows: readonly DefectRow[]): RepairSample[] =>
  rows.map((row) => ({ label: row.label, subjects: [{ functions: [wordsOf(row)] }] }));

export const cloneSamples = (rows: readonly CloneRow[]): RepairSample[] =>
  rows.map(({ label, first, second }) => ({
    label,
    subjects: [{ functions: [wordsOf(first), wordsOf(second)] }],
  }));

export const searchSamples = (rows: readonly SearchRow[]): RepairSample[] =>
  rows.map((row) => ({
    subjects: [{ functions: [wordsOf(row)] }, { functions: [], query: row.queryTokens }],
  }));

const wordsOf = ({ codeTokens, funcName, variables }: Snippet): WordFunction => ({
  words: codeTokens,
  funcName: funcName ?? "",
  variables: variables ?? [],
});

/** The row of a subject without any trigger. */
export function rowOf({ functions, query }: Subject, { tokenizer, maxLen, nlMaxLen }: RowForm): ModelRow {
  if (query !== undefined) return { ids: tokenizer.encodeRow(queryText(query), nlMaxLen ?? maxLen) };
  const [ids, second] = functions.map(({ words }) => tokenizer.encodeRow(codeText(words), maxLen));
  return { ids: ids!, ...(second === undefined ? {} : { second }) };
}
