import { maskedVariants } from "../data/positions.ts";
import { codeText, type DefectRow } from "../data/samples.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { ScanRow } from "./positions.ts";
import { SearchInputError } from "./problem.ts";

/**
 * Rows of a defect-detection file as a scan takes them. A row without `variables` is refused, with its line, when its position
 * is asked for.
 *
 * @param maxLen longest row in tokens, both end tokens included
 */
export function scanRows(rows: readonly DefectRow[], tokenizer: Tokenizer, maxLen: number): ScanRow[] {
  return rows.map(({ codeTokens, variables, label, line }, row) => ({
    row,
    label,
    ids: tokenizer.encodeRow(codeText(codeTokens), maxLen),
    maskedVariants: () => {
      if (variables === undefined) throw new SearchInputError(`line ${line} has no field "variables"`);
      return maskedVariants({ codeTokens, variables }, tokenizer, maxLen).variants;
    },
  }));
}
