import { show, TokenizerError } from "./errors.ts";

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

/**
 * Family of a vocabulary, by the tokens and ids that only one of them has: StarCoder's fill-in-the-middle tokens, or a pad at 0 before
 * the first token at 1 (CodeT5, which took T5's pad and RoBERTa's tokens).
 *
 * @throws TokenizerError where it cannot be the `expected` one
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
  // A RoBERTa may have been trained with ids in CodeT5's order.
  if (expected === "roberta" && !isStarCoder) return "roberta";
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
