import type { Tokenizer } from "./tokenizer.ts";

/** A whole word part: letters, digits and underscores only, so without the mark of a leading blank (`Ġ`) and no special token. */
const identifierPart = /^[A-Za-z0-9_]+$/;

/**
 * Ids that a trigger may use, ascending: the published `filter_vocabs_idx` (DESIGN section 5.1). Nothing that has a leading blank, so
 * that the tokens of a trigger join to one identifier.
 *
 * Reserved rows of roberta-base (`madeupword0000`) pass, as in the published code.
 */
export function triggerVocabulary(tokenizer: Tokenizer): number[] {
  const special = new Set(Object.values(tokenizer.ids));
  const ids: number[] = [];
  for (let id = 0; id < tokenizer.size; id++) {
    const token = tokenizer.tokenOf(id);
    if (token !== undefined && identifierPart.test(token) && !special.has(id)) ids.push(id);
  }
  return ids;
}
