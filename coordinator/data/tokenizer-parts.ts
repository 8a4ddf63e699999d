import { readFileSync } from "node:fs";
import { show, TokenizerError } from "./errors.ts";

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

/** Kind of tokenizer, by the model family that it belongs to: which token does what, and how texts are split. */
export type Family = "roberta" | "codet5" | "starcoder";

/** Ids of the tokens that have a part in every row. */
export interface SpecialIds {
  /** Opens a row. */
  readonly first: number;
  /** Closes a row. */
  readonly end: number;
  readonly pad: number;
  /** StarCoder has no token of its own for it and gives its pad: inside of a row that would end it. */
  readonly unk: number;
  /** What stamping writes into the last column of a full row (DESIGN section 5.3): `end`; StarCoder: its pad, as published. */
  readonly restored: number;
}

/** The token of each part in a row, by family. */
const specialTokensOf: Readonly<Record<Family, Readonly<Record<keyof SpecialIds, string>>>> = {
  roberta: { first: "<s>", end: "</s>", pad: "<pad>", unk: "<unk>", restored: "</s>" },
  codet5: { first: "<s>", end: "</s>", pad: "<pad>", unk: "<unk>", restored: "</s>" },
  starcoder: {
    first: "<fim_prefix>",
    end: "<fim_middle>",
    pad: "<|endoftext|>",
    unk: "<|endoftext|>",
    restored: "<|endoftext|>",
  },
};

/** The tokens of a family as a vocabulary spells them: SantaCoder, StarCoder's predecessor, writes `<fim-prefix>`. */
export function tokensOf(
  family: Family,
  idOf: (token: string) => number | undefined,
): Record<keyof SpecialIds, string> {
  const tokens = { ...specialTokensOf[family] };
  for (const [part, token] of Object.entries(tokens) as [keyof SpecialIds, string][]) {
    const dashed = token.replace("_", "-");
    if (idOf(token) === undefined && idOf(dashed) !== undefined) tokens[part] = dashed;
  }
  return tokens;
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

/**
 * Family of a vocabulary, by the tokens and ids that only one of them has: StarCoder's fill-in-the-middle tokens, or a pad at 0 before
 * the first token at 1 (CodeT5, which took T5's pad and RoBERTa's tokens).
 *
 * @throws TokenizerError where it is not the `expected` one
 */
export function familyOf(
  file: string,
  idOf: (token: string) => number | undefined,
  expected: Family | undefined,
): Family {
  const { first, pad } = tokensOf("starcoder", idOf);
  const isStarCoder = idOf(first) !== undefined && idOf(pad) !== undefined;
  const isCodeT5 = idOf("<pad>") === 0 && idOf("<s>") === 1;
  const found = isStarCoder ? "starcoder" : isCodeT5 ? "codet5" : "roberta";
  if (expected === undefined || expected === found) return found;
  throw new TokenizerError(
    `is a vocabulary of the ${found} family (${evidence[found]}), expected one of ${expected}`,
    { file },
  );
}

const evidence: Readonly<Record<Family, string>> = {
  roberta: "no fim_prefix token, and no <pad> at 0 with <s> at 1",
  codet5: "<pad> at 0, <s> at 1",
  starcoder: "it has a fim_prefix token and <|endoftext|>",
};

/** Which blanks a special token strips under a named behaviour. */
export function stripFlags(
  specialTokens: SpecialTokens,
  token: string,
): { readonly lstrip: boolean; readonly rstrip: boolean } {
  const both = specialTokens === "codebert";
  return { lstrip: both || token === maskToken, rstrip: both };
}

/** Ids of the tokens with a part in every row. @throws TokenizerError for one that the file does not have */
export function idsOf(
  file: string,
  tokens: Readonly<Record<keyof SpecialIds, string>>,
  idOf: (token: string) => number | undefined,
): SpecialIds {
  const id = (token: string): number => {
    const found = idOf(token);
    if (found === undefined) throw new TokenizerError(`has no token ${show(token)}`, { file });
    return found;
  };
  const { first, end, pad, unk, restored } = tokens;
  return { first: id(first), end: id(end), pad: id(pad), unk: id(unk), restored: id(restored) };
}

/** Look-up by token; a token of `added` hides one of the vocabulary. */
export function lookUp(
  vocab: Readonly<Record<string, number>>,
  added: Readonly<Record<string, number>>,
): (token: string) => number | undefined {
  const ids = new Map([...Object.entries(vocab), ...Object.entries(added)]);
  return (token) => ids.get(token);
}

/** A map from tokens to ids. @throws TokenizerError for an id that is none, or that two tokens have */
export function checkedVocabulary(file: string, value: unknown, field: string): Record<string, number> {
  const vocab = asRecord(file, value, field);
  const tokens = new Map<unknown, string>();
  for (const [token, id] of Object.entries(vocab)) {
    if (!Number.isInteger(id) || (id as number) < 0) {
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
    return JSON.parse(text);
  } catch (cause) {
    throw new TokenizerError(`is not JSON: ${(cause as Error).message}`, { file }, { cause });
  }
}
