import { TokenizerError } from "./errors.ts";
import {
  type AddedToken,
  asRecord,
  checkedVocabulary,
  checkMerges,
  idsOf,
  lookUp,
  readJson,
  robertaSpecials,
  type SpecialTokens,
  specialNames,
  stripFlags,
  type TokenizerFiles,
} from "./tokenizer-parts.ts";

/** Reads a `tokenizer.json`. @throws TokenizerError where it is not byte-level BPE as RoBERTa has it */
export function readTokenizerJson(file: string, specialTokens: SpecialTokens | undefined): TokenizerFiles {
  const json = asRecord(file, readJson(file));
  const model = asRecord(file, json.model, "model");
  const preTokenizer = asRecord(file, json.pre_tokenizer, "pre_tokenizer");
  if ((model.type ?? "BPE") !== "BPE") {
    throw new TokenizerError("only byte-level BPE is known", {
      file,
      field: "model.type",
      value: model.type,
    });
  }
  if (preTokenizer.type !== "ByteLevel" || preTokenizer.add_prefix_space === true) {
    throw new TokenizerError("only ByteLevel without a prefix blank is known", {
      file,
      field: "pre_tokenizer",
      value: preTokenizer,
    });
  }
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
  const named = new Map<string, (typeof specialNames)[number]>(
    specialNames.map((name) => [robertaSpecials[name], name]),
  );
  const addedTokens = listed.map((entry: unknown): AddedToken => {
    const token = asRecord(file, entry, "added_tokens");
    const { content, id } = token;
    if (typeof content !== "string" || !Number.isInteger(id)) {
      throw new TokenizerError("expected content and id", { file, field: "added_tokens", value: entry });
    }
    const name = named.get(content);
    const own = { lstrip: token.lstrip === true, rstrip: token.rstrip === true };
    const strip = specialTokens === undefined || name === undefined ? own : stripFlags(specialTokens, name);
    return { content, id: id as number, ...strip };
  });
  const added = Object.fromEntries(addedTokens.map(({ content, id }) => [content, id]));
  return {
    file,
    vocab,
    merges,
    addedTokens,
    ids: idsOf(file, robertaSpecials, lookUp(vocab, added)),
  };
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
