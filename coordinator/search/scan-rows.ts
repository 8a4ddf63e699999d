import type { CloneRow } from "../data/clone-rows.ts";
import { type MaskedVariant, maskedVariants } from "../data/positions.ts";
import { encodeSearchRow, encodeSnippet } from "../data/row-ids.ts";
import type { DefectRow, Snippet } from "../data/samples.ts";
import type { SearchRow } from "../data/search-rows.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { PairRow } from "./pair-positions.ts";
import type { ScanRow } from "./positions.ts";
import { SearchInputError } from "./problem.ts";

/**
 * Rows of a defect-detection file as a scan takes them. A row without `variables` is refused, with its line, when its position
 * is asked for.
 *
 * @param maxLen longest row in tokens, both end tokens included
 */
export const scanRows = (rows: readonly DefectRow[], tokenizer: Tokenizer, maxLen: number): ScanRow[] =>
  rows.map((snippet, row) => ({
    row,
    label: snippet.label,
    ids: encodeSnippet(snippet, tokenizer, maxLen),
    maskedVariants: variantsOf(snippet, `line ${snippet.line} has no field "variables"`, tokenizer, maxLen),
  }));

/** The same of clone detection: triggers go into the first snippet, whose variables say where. */
export const cloneScanRows = (rows: readonly CloneRow[], tokenizer: Tokenizer, maxLen: number): ScanRow[] =>
  rows.map(({ line, label, first, second }, row) => ({
    row,
    label,
    ids: encodeSnippet(first, tokenizer, maxLen),
    secondIds: encodeSnippet(second, tokenizer, maxLen),
    maskedVariants: variantsOf(
      first,
      `line ${line} has no variables of its first function`,
      tokenizer,
      maxLen,
    ),
  }));

/** The same of code search. A row without `variables` has none that could say where the trigger goes: raw data sets lack the field. */
export const pairRows = (
  rows: readonly SearchRow[],
  tokenizer: Tokenizer,
  limits: { readonly codeMaxLen: number; readonly nlMaxLen: number },
): PairRow[] =>
  rows.map((snippet, row) => {
    const { code, query } = encodeSearchRow(snippet, tokenizer, limits);
    const known = { ...snippet, variables: snippet.variables ?? [] };
    return {
      row,
      ids: code,
      queryIds: query,
      maskedVariants: () => maskedVariants(known, tokenizer, limits.codeMaxLen).variants,
    };
  });

const variantsOf =
  ({ codeTokens, variables }: Snippet, missing: string, tokenizer: Tokenizer, maxLen: number) =>
  (): readonly MaskedVariant[] => {
    if (variables === undefined) throw new SearchInputError(missing);
    return maskedVariants({ codeTokens, variables }, tokenizer, maxLen).variants;
  };
