import { readFileSync } from "node:fs";
import { parseJson } from "../../proto/json-text.ts";
import { show, TokenizerError } from "./errors.ts";
import type { Family, SpecialIds } from "./tokenizer-family.ts";

/**
 * What a special token inside a text does to the blanks beside it.
 *
 * - `codebert`: strips them on both sides, as transformers does for codebert-base, whose `special_tokens_map.json` holds plain strings.
 * - `roberta`: keeps them, except before `<mask>`, as for roberta-base, which has no such file.
 */
export type SpecialTokens = "codebert" | "roberta";

/** A token that is cut out of a text before byte-pair encoding. */
export interface AddedToken {
  readonly content: string;
  readonly id: number;
  /** Strips the blanks before the token. */
  readonly lstrip: boolean;
  /** Strips the blanks after the token. */
  readonly rstrip: boolean;
}

/** The token that stands for a hidden word in RoBERTa's pretraining: cut out of texts as the others are. */
export const maskToken = "<mask>";

/** A byte-level BPE tokenizer as its files describe it. */
export interface TokenizerFiles {
  /** The file that holds the vocabulary, for messages. */
  readonly file: string;
  readonly family: Family;
  readonly vocab: Readonly<Record<string, number>>;
  /** Merges in rank order, as `"left right"` or as pairs. */
  readonly merges: readonly (string | readonly string[])[];
  readonly addedTokens: readonly AddedToken[];
  /** Every digit is a piece of its own. */
  readonly splitsDigits: boolean;
  readonly ids: SpecialIds;
}

/** Which blanks a special token strips under a named behaviour. */
export function stripFlags(
  specialTokens: SpecialTokens,
  token: string,
): { readonly lstrip: boolean; readonly rstrip: boolean } {
  const both = specialTokens === "codebert";
  return { lstrip: both || token === maskToken, rstrip: both };
}

/** A text is searched for all of them at every place. */
const MAX_ADDED_TOKENS = 10_000;
const MAX_ADDED_CHARACTERS = 500_000;

/** @throws TokenizerError for a token of no characters, which would stand between any two, and for more than a text can be searched for */
export function checkAddedTokens({ file, addedTokens }: Pick<TokenizerFiles, "file" | "addedTokens">): void {
  const empty = addedTokens.find(({ content }) => content === "");
  if (empty !== undefined)
    throw new TokenizerError("has no characters", { file, field: "added token", value: empty.id });
  const characters = addedTokens.reduce((sum, { content }) => sum + content.length, 0);
  if (addedTokens.length <= MAX_ADDED_TOKENS && characters <= MAX_ADDED_CHARACTERS) return;
  throw new TokenizerError(
    `has ${addedTokens.length} added tokens of ${characters} characters, at most ${MAX_ADDED_TOKENS} of ${MAX_ADDED_CHARACTERS} are read`,
    { file },
  );
}

/** Look-up by token; a token of `added` hides one of the vocabulary. */
export function lookUp(
  vocab: Readonly<Record<string, number>>,
  added: Readonly<Record<string, number>>,
): (token: string) => number | undefined {
  const ids = new Map([...Object.entries(vocab), ...Object.entries(added)]);
  return (token) => ids.get(token);
}

/** Ids lie below it, as rows of any model's word embedding do: what is counted up to the largest ends soon. */
const ID_LIMIT = 16_777_216;

/** Whether a value can be a token's id. */
export const isTokenId = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) < ID_LIMIT;

/** A map from tokens to ids. @throws TokenizerError for an id that is none, or that two tokens have */
export function checkedVocabulary(file: string, value: unknown, field: string): Record<string, number> {
  const vocab = asRecord(file, value, field);
  const tokens = new Map<unknown, string>();
  for (const [token, id] of Object.entries(vocab)) {
    if (!isTokenId(id)) {
      throw new TokenizerError("expected a token id", { file, field: `${field}[${show(token)}]`, value: id });
    }
    const twin = tokens.get(id);
    if (twin !== undefined) {
      throw new TokenizerError(`is the id of ${show(twin)} too`, {
        file,
        field: `${field}[${show(token)}]`,
        value: id,
      });
    }
    tokens.set(id, token);
  }
  return vocab as Record<string, number>;
}

/** @throws TokenizerError for a merge of, or into, a token that the vocabulary does not have: the files are not of one tokenizer */
export function checkMerges(
  file: string,
  merges: TokenizerFiles["merges"],
  vocab: Readonly<Record<string, number>>,
): void {
  for (const [k, merge] of merges.entries()) {
    const parts = typeof merge === "string" ? merge.split(" ") : merge;
    const unknown = [...parts, parts.join("")].find((token) => !Object.hasOwn(vocab, token));
    if (unknown === undefined) continue;
    throw new TokenizerError(`needs token ${show(unknown)}, which the vocabulary does not have`, {
      file,
      field: `merge ${k + 1}`,
      value: parts.join(" "),
    });
  }
}

/** @throws TokenizerError where the value is no object */
export function asRecord(file: string, value: unknown, field?: string): Record<string, unknown> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new TokenizerError(
      "expected an object",
      field === undefined ? { file } : { file, field, value: value ?? null },
    );
  }
  return value as Record<string, unknown>;
}

/** @throws TokenizerError where the file cannot be read */
export function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new TokenizerError(`cannot be read: ${(cause as Error).message}`, { file }, { cause });
  }
}

/** @throws TokenizerError where the file cannot be read or is no JSON */
export function readJson(file: string): unknown {
  const text = readText(file);
  try {
    return parseJson(text);
  } catch (cause) {
    throw new TokenizerError(`is not JSON: ${(cause as Error).message}`, { file }, { cause });
  }
}
