import type { SnippetPair } from "./clone-rows.ts";
import { codeText, type Snippet } from "./samples.ts";
import { queryText, type SearchRow } from "./search-rows.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Ids of one function: first token, at most `maxLen` − 2 ids, end token, without padding. */
export const encodeSnippet = (
  { codeTokens }: Pick<Snippet, "codeTokens">,
  tokenizer: Tokenizer,
  maxLen: number,
): number[] => tokenizer.encodeRow(codeText(codeTokens), maxLen);

/**
 * Ids of both functions of a pair, each a row of its own, without padding. The published StarCoder pads both and joins them: that is the
 * model's affair.
 */
export const encodeSnippets = (
  { first, second }: Pick<SnippetPair, "first" | "second">,
  tokenizer: Tokenizer,
  maxLen: number,
): { readonly first: number[]; readonly second: number[] } => ({
  first: encodeSnippet(first, tokenizer, maxLen),
  second: encodeSnippet(second, tokenizer, maxLen),
});

/** Ids of a function and its query, each with both end tokens, without padding. */
export const encodeSearchRow = (
  { codeTokens, queryTokens }: Pick<SearchRow, "codeTokens" | "queryTokens">,
  tokenizer: Tokenizer,
  { codeMaxLen, nlMaxLen }: { readonly codeMaxLen: number; readonly nlMaxLen: number },
): { readonly code: number[]; readonly query: number[] } => ({
  code: encodeSnippet({ codeTokens }, tokenizer, codeMaxLen),
  query: tokenizer.encodeRow(queryText(queryTokens), nlMaxLen),
});
