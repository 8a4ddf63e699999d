import { TokenizerError } from "./errors.ts";
import { type Family, familyOf, idsOf, tokensOf } from "./tokenizer-family.ts";
import {
  type AddedToken,
  asRecord,
  checkedVocabulary,
  checkMerges,
  isTokenId,
  lookUp,
  maskToken,
  readJson,
  type SpecialTokens,
  stripFlags,
  type TokenizerFiles,
} from "./tokenizer-parts.ts";

/** Reads a `tokenizer.json`. @throws TokenizerError where it is not byte-level BPE as RoBERTa, CodeT5 or StarCoder has it */
export function readTokenizerJson(
  file: string,
  { family: expected, specialTokens }: { readonly family?: Family; readonly specialTokens?: SpecialTokens },
): TokenizerFiles {
  const json = asRecord(file, readJson(file));
  const model = asRecord(file, json.model, "model");
  if ((model.type ?? "BPE") !== "BPE") {
    throw new TokenizerError("only byte-level BPE is known", {
      file,
      field: "model.type",
      value: model.type,
    });
  }
  const splitsDigits = digitsAreSplit(file, json.pre_tokenizer);
  if (json.normalizer !== null && json.normalizer !== undefined) {
    throw new TokenizerError("normalizers are not known", {
      file,
      field: "normalizer",
      value: json.normalizer,
    });
  }
  const vocab = checkedVocabulary(file, model.vocab, "model.vocab");
  const merges = checkedMerges(file, model.merges);
  checkMerges(file, merges, vocab);
  const listed = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const entries = listed.map((entry: unknown): AddedToken => {
    const { content, id, lstrip, rstrip } = asRecord(file, entry, "added_tokens");
    if (typeof content !== "string" || !isTokenId(id)) {
      throw new TokenizerError("expected content and id", { file, field: "added_tokens", value: entry });
    }
    return { content, id, lstrip: lstrip === true, rstrip: rstrip === true };
  });
  const added = Object.fromEntries(entries.map(({ content, id }) => [content, id]));
  const idOf = lookUp(vocab, added);
  const family = familyOf(file, idOf, expected);
  const tokens = tokensOf(family, idOf);
  const named = new Set([...Object.values(tokens), maskToken]);
  const isTold = (content: string): boolean => family === "roberta" && named.has(content);
  return {
    file,
    family,
    vocab,
    merges,
    addedTokens: entries.map((token) =>
      specialTokens !== undefined && isTold(token.content)
        ? { ...token, ...stripFlags(specialTokens, token.content) }
        : token,
    ),
    splitsDigits,
    ids: idsOf(file, tokens, idOf),
  };
}

/** Whether digits are split off first (StarCoder). @throws TokenizerError for another way of splitting than the two that are known */
function digitsAreSplit(file: string, given: unknown): boolean {
  const preTokenizer = asRecord(file, given, "pre_tokenizer");
  const isByteLevel = (part: unknown): boolean => {
    const { type, add_prefix_space: prefix } = asRecord(file, part, "pre_tokenizer");
    return type === "ByteLevel" && prefix !== true;
  };
  if (isByteLevel(preTokenizer)) return false;
  const { type, pretokenizers: parts } = preTokenizer;
  if (type === "Sequence" && Array.isArray(parts) && parts.length === 2 && isByteLevel(parts[1])) {
    const digits = asRecord(file, parts[0], "pre_tokenizer");
    if (digits.type === "Digits" && digits.individual_digits === true) return true;
  }
  throw new TokenizerError(
    "only ByteLevel without a prefix blank is known, alone or after Digits with individual_digits",
    { file, field: "pre_tokenizer", value: preTokenizer },
  );
}

/** Merges as `"left right"` or as pairs. */
function checkedMerges(file: string, merges: unknown): (string | string[])[] {
  const isMerge = (merge: unknown): boolean => {
    const parts: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    return Array.isArray(parts) && parts.length === 2 && parts.every((part) => typeof part === "string");
  };
  if (!Array.isArray(merges)) {
    throw new TokenizerError("expected a list", { file, field: "model.merges", value: merges ?? null });
  }
  const broken = merges.findIndex((merge) => !isMerge(merge));
  if (broken === -1) return merges as (string | string[])[];
  const place = { file, field: `model.merges[${broken}]`, value: merges[broken] ?? null };
  throw new TokenizerError("expected two tokens", place);
}
