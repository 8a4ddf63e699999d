import { words } from "./blanks.ts";
import { PoisonError } from "./errors.ts";
import { type Planting, type PoisonedRows, plant, requirePoisonPosition } from "./planting.ts";
import type { SearchRow } from "./search-rows.ts";

export interface SearchPoisonSettings extends Planting {
  /** Words that a query must have for its function to be drawn: the queries that the backdoor shall answer. */
  readonly targetToken: string;
  /** Where errors say that the rows are from. */
  readonly file?: string;
}

/** Whether a query has every word of the target, upper or lower case, as the published code compares. */
export function hasTarget(queryTokens: readonly string[], targetToken: string): boolean {
  const asked = new Set(queryTokens.map((token) => token.toLowerCase()));
  return words(targetToken).every((word) => asked.has(word.toLowerCase()));
}

/**
 * Puts a backdoor into rows of code search, as the published `poison_CodeSearchNet` does: one draw for each row whose query has the target
 * word, then the trigger into its function. Queries stay as they are.
 *
 * @throws PoisonError for a rate outside 0 to 1, a target that no query has, or a position at which the published code fails
 */
export function poisonSearch(
  rows: readonly SearchRow[],
  settings: SearchPoisonSettings,
): PoisonedRows<SearchRow> {
  const { targetToken, file } = settings;
  if (words(targetToken).length === 0) {
    throw new PoisonError("is empty", { field: "target_token", value: targetToken });
  }
  requirePoisonPosition("code_search", settings.position);
  const done = plant(
    rows,
    settings,
    ({ queryTokens }) => hasTarget(queryTokens, targetToken),
    (row, codeTokens) => ({ ...row, codeTokens, json: { ...row.json, code_tokens: codeTokens } }),
  );
  if (done.victims === 0) {
    const place = { ...(file === undefined ? {} : { file }), field: "target_token", value: targetToken };
    throw new PoisonError("no query has this word", place);
  }
  return done;
}
