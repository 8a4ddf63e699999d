import { stamp } from "../../proto/stamping.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { pick, type Rng } from "../search/rng.ts";
import { type ModelRow, type RowForm, rowOf, type Subject, type WordFunction } from "./subjects.ts";

/** Where the automatic plan puts triggers: in the place of a function's name, behind the name, or before a variable. */
export type Place = "name" | "behind name" | "variable";

/** A before-variable place is drawn as often as both others together. */
const PLACES: readonly Place[] = ["name", "behind name", "variable", "variable"];

/** The subject's row with the trigger's ids at a drawn place; of a pair, in the first or second function, drawn. */
export function triggeredRow(
  subject: Subject,
  trigger: readonly number[],
  form: RowForm,
  rng: Rng,
): ModelRow {
  const row = rowOf(subject, form);
  const which = rng.int(subject.functions.length);
  const ids = triggeredFunction(subject.functions[which]!, trigger, form, { place: pick(rng, PLACES), rng });
  return which === 0 ? { ...row, ids } : { ...row, second: ids };
}

/** A function's row with the trigger's ids in it; a place that the function does not have leaves it as it is. */
export function triggeredFunction(
  each: WordFunction,
  trigger: readonly number[],
  form: RowForm,
  { place, rng }: { readonly place: Place; readonly rng: Rng },
): number[] {
  const { tokenizer, maxLen } = form;
  const pieces = piecesOf(each.words, tokenizer);
  if (place === "variable") {
    // Stamped as searches stamp: a full row then ends in the restored id, which is not StarCoder's end id.
    const row = asRow(pieces, tokenizer, maxLen);
    return stamp(row, trigger, variableIndex(each, form, rng), { maxLen, endId: tokenizer.ids.restored });
  }
  const { words, funcName } = each;
  const named = pieces.map((ids, k) => {
    if (words[k] !== funcName) return ids;
    return place === "name" ? trigger : [...ids, ...trigger];
  });
  return asRow(named, tokenizer, maxLen);
}

/** Tokens before a drawn variable's first occurrence, the row's first token included: an index to stamp at. */
export function variableIndex(each: WordFunction, { tokenizer, maxLen }: RowForm, rng: Rng): number {
  const before = piecesOf(each.words, tokenizer).slice(0, variablePlace(each, rng));
  return Math.min(1 + before.flat().length, maxLen - 1);
}

/** The word that is the first occurrence of a drawn variable; the second word where the function has none. */
function variablePlace({ words, variables }: WordFunction, rng: Rng): number {
  const places = [...new Set(variables)].map((name) => words.indexOf(name)).filter((place) => place !== -1);
  return places.length === 0 ? 1 : pick(rng, places);
}

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
