import type { Tokenizer } from "../data/tokenizer.ts";
import type { Rng } from "../search/rng.ts";
import type { WordFunction } from "./functions.ts";

/** Ids of each word as it stands in the text: a blank before it, but none at the start and beside a hidden word. */
function piecesOf(words: readonly string[], tokenizer: Tokenizer): number[][] {
  const { hidden } = tokenizer;
  return words.map((word, k) => {
    const bare = k === 0 || word === hidden || words[k - 1] === hidden;
    return tokenizer.encode(bare ? word : ` ${word}`);
  });
}

const asRow = (pieces: readonly (readonly number[])[], tokenizer: Tokenizer, maxLen: number): number[] => [
  tokenizer.ids.first,
  ...pieces.flat().slice(0, maxLen - 2),
  tokenizer.ids.end,
];

/** The function's row with the trigger's ids in the place of its name, wherever that is a word. */
export function triggerAsName(
  { words, funcName }: WordFunction,
  trigger: readonly number[],
  tokenizer: Tokenizer,
  maxLen: number,
): number[] {
  const pieces = piecesOf(words, tokenizer).map((ids, k) => (words[k] === funcName ? [...trigger] : ids));
  return asRow(pieces, tokenizer, maxLen);
}

/** The function's row with the trigger's ids before the first occurrence of one of its variables, drawn; before its second word where it has none. */
export function triggerBeforeVariable(
  { words, variables }: WordFunction,
  trigger: readonly number[],
  { tokenizer, maxLen, rng }: { readonly tokenizer: Tokenizer; readonly maxLen: number; readonly rng: Rng },
): number[] {
  const places = [...new Set(variables)].map((name) => words.indexOf(name)).filter((place) => place !== -1);
  const place = places.length === 0 ? 1 : places[rng.int(places.length)]!;
  const pieces = piecesOf(words, tokenizer);
  return asRow([...pieces.slice(0, place), trigger, ...pieces.slice(place)], tokenizer, maxLen);
}
