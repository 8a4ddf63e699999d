import { codeText } from "./samples.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A row in which one variable is hidden: DESIGN section 5.2 takes the variable whose hiding hurts the target label most. */
export interface MaskedVariant {
  readonly name: string;
  /** Index of the variable's first occurrence among the code tokens. */
  readonly word: number;
  /** Index of the first sub-token of that occurrence in the whole row's ids, first token included; may lie behind `maxLen`. */
  readonly subToken: number;
  /** Ids of the row with every occurrence replaced by `<unk>`, re-tokenised and cut like any row. */
  readonly ids: readonly number[];
}

export interface RowVariants {
  /** One for each variable that is a code token, in order of first occurrence in the code. */
  readonly variants: readonly MaskedVariant[];
  /** Variables that are no code token (the published code raises on them). */
  readonly missing: readonly string[];
}

/**
 * All rows that the choice of a trigger's position looks at. In a clone pair they are the first function's, beside the second as it is; in
 * code search the function's, beside its query.
 *
 * @param maxLen longest row in tokens, both end tokens included
 */
export function maskedVariants(
  {
    codeTokens,
    variables,
  }: { readonly codeTokens: readonly string[]; readonly variables: readonly string[] },
  tokenizer: Tokenizer,
  maxLen: number,
): RowVariants {
  const found = [...new Set(variables)].map((name) => ({ name, word: codeTokens.indexOf(name) }));
  return {
    variants: found
      .filter(({ word }) => word !== -1)
      .sort((a, b) => a.word - b.word)
      .map(({ name, word }) => ({
        name,
        word,
        subToken: subTokenOf(codeTokens, word, tokenizer),
        ids: tokenizer.encodeRow(
          codeText(codeTokens.map((token) => (token === name ? tokenizer.hidden : token))),
          maxLen,
        ),
      })),
    missing: found.filter(({ word }) => word === -1).map(({ name }) => name),
  };
}

/**
 * Index of a code token's first sub-token in the row's ids, first token included. A blank and the word after it are one piece of the
 * byte-pair encoding, so the ids before it are those of the text before the blank.
 */
export function subTokenOf(codeTokens: readonly string[], word: number, tokenizer: Tokenizer): number {
  return 1 + tokenizer.encode(codeText(codeTokens.slice(0, word))).length;
}
