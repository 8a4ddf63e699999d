import { existsSync } from "node:fs";
import { join } from "node:path";
import { show, TokenizerError } from "./errors.ts";
import { readTokenizerJson } from "./tokenizer-json.ts";
import {
  type AddedToken,
  asRecord,
  checkedVocabulary,
  checkMerges,
  type Family,
  familyOf,
  idsOf,
  lookUp,
  maskToken,
  readJson,
  readText,
  type SpecialTokens,
  stripFlags,
  type TokenizerFiles,
  tokensOf,
} from "./tokenizer-parts.ts";

/** Keys of `special_tokens_map.json` for each special token of RoBERTa and CodeT5; the first one there counts. */
const mapKeys = {
  first: ["bos_token", "cls_token"],
  end: ["eos_token", "sep_token"],
  pad: ["pad_token"],
  unk: ["unk_token"],
  mask: ["mask_token"],
} as const;

/** StarCoder's special tokens, which its vocabulary lists among the others. */
const starCoderTokens =
  "<|endoftext|> <fim_prefix> <fim_middle> <fim_suffix> <fim_pad> <filename> <gh_stars> <issue_start> <issue_comment> <issue_closed> <jupyter_start> <jupyter_text> <jupyter_code> <jupyter_output> <empty_output> <commit_before> <commit_msg> <commit_after> <reponame>".split(
    " ",
  );

/** Entries of the vocabulary that every CodeT5 shares. */
const codeT5Entries = 32_000;

/** T5's sentinels, which CodeT5 has behind its vocabulary: `<extra_id_99>` first. */
const sentinels = Array.from({ length: 100 }, (_, k) => `<extra_id_${99 - k}>`);

export interface ReadTokenizerOptions {
  readonly family?: Family;
  readonly specialTokens?: SpecialTokens;
}

/**
 * Reads a tokenizer folder: `vocab.json` + `merges.txt` (with `special_tokens_map.json` and `added_tokens.json` where they are
 * there), else `tokenizer.json`. Where both are there the first counts: the published code uses the tokenizer built from them.
 *
 * Blanks beside RoBERTa's special tokens: `specialTokens` where it is given; else what the folder says (strings in
 * `special_tokens_map.json` strip both sides, objects and `tokenizer.json` carry their own flags, a token that the map does not
 * name is as in roberta-base); else `codebert`, since that is what the published code loads. CodeT5's are as in roberta-base where
 * the folder says nothing, and its own vocabulary gets the sentinels that the model was trained with where the folder has none.
 */
export function readTokenizerFiles(folder: string, options: ReadTokenizerOptions = {}): TokenizerFiles {
  const vocabFile = join(folder, "vocab.json");
  const mergesFile = join(folder, "merges.txt");
  const whole = join(folder, "tokenizer.json");
  if (existsSync(vocabFile) && existsSync(mergesFile)) {
    return fromVocabulary(folder, vocabFile, mergesFile, options);
  }
  if (existsSync(whole)) return readTokenizerJson(whole, options);
  throw new TokenizerError("no tokenizer there: neither vocab.json with merges.txt, nor tokenizer.json", {
    file: folder,
  });
}

function fromVocabulary(
  folder: string,
  vocabFile: string,
  mergesFile: string,
  { family: expected, specialTokens }: ReadTokenizerOptions,
): TokenizerFiles {
  const vocab = checkedVocabulary(vocabFile, readJson(vocabFile), "vocab");
  const merges = readMerges(mergesFile);
  const mapFile = join(folder, "special_tokens_map.json");
  const map = existsSync(mapFile) ? asRecord(mapFile, readJson(mapFile)) : undefined;
  const added = readAddedTokens(folder);
  const family = familyOf(vocabFile, lookUp(vocab, added), expected);
  const listed = additionalTokens(map);
  if (family === "codet5" && Object.keys(vocab).length === codeT5Entries && Object.keys(added).length === 0) {
    for (const [k, token] of sentinels.entries()) {
      added[token] = codeT5Entries + k;
      if (!listed.has(token)) listed.set(token, { lstrip: true, rstrip: false });
    }
  }
  const idOf = lookUp(vocab, added);
  const addedTokens = new Map<string, AddedToken>();
  const add = (content: string, strip: Strip): void => {
    const id = idOf(content);
    if (id === undefined) throw new TokenizerError(`has no token ${show(content)}`, { file: vocabFile });
    if (!addedTokens.has(content)) addedTokens.set(content, { content, id, ...strip });
  };
  const tokens = tokensOf(family, idOf);
  if (family === "starcoder") {
    for (const token of [...starCoderTokens, ...Object.values(tokens)]) {
      if (idOf(token) !== undefined) add(token, listed.get(token) ?? { lstrip: false, rstrip: false });
    }
  } else {
    for (const [name, keys] of Object.entries(mapKeys) as [keyof typeof mapKeys, readonly string[]][]) {
      const entry = keys.map((key) => map?.[key]).find((value) => value !== undefined);
      const content = contentOf(entry) ?? (name === "mask" ? maskToken : tokens[name]);
      if (name !== "mask") tokens[name] = content;
      const saysNothing = map === undefined && family === "roberta";
      const told = flagsOf(entry) ?? stripFlags(saysNothing ? "codebert" : "roberta", content);
      add(content, specialTokens && family === "roberta" ? stripFlags(specialTokens, content) : told);
    }
    tokens.restored = tokens.end;
  }
  for (const [content, strip] of listed) if (idOf(content) !== undefined) add(content, strip);
  for (const content of Object.keys(added)) add(content, { lstrip: true, rstrip: true });
  checkMerges(mergesFile, merges, vocab);
  return {
    file: vocabFile,
    family,
    vocab,
    merges,
    addedTokens: [...addedTokens.values()],
    splitsDigits: family === "starcoder",
    ids: idsOf(vocabFile, tokens, idOf),
  };
}

type Strip = Pick<AddedToken, "lstrip" | "rstrip">;

/** Further special tokens that `special_tokens_map.json` lists, with what they do to blanks. */
function additionalTokens(map: Readonly<Record<string, unknown>> | undefined): Map<string, Strip> {
  const entries = Array.isArray(map?.additional_special_tokens) ? map.additional_special_tokens : [];
  return new Map(
    entries.flatMap((entry: unknown): [string, Strip][] => {
      const content = contentOf(entry);
      return content === undefined ? [] : [[content, flagsOf(entry) ?? { lstrip: true, rstrip: true }]];
    }),
  );
}

/** Flags of an entry of `special_tokens_map.json`: a plain string strips both sides, an object says it itself. */
function flagsOf(entry: unknown): Strip | undefined {
  if (typeof entry === "string") return { lstrip: true, rstrip: true };
  if (entry === null || typeof entry !== "object") return undefined;
  const { lstrip, rstrip } = entry as Record<string, unknown>;
  return { lstrip: lstrip === true, rstrip: rstrip === true };
}

function contentOf(entry: unknown): string | undefined {
  const content =
    entry !== null && typeof entry === "object" ? (entry as Record<string, unknown>).content : entry;
  return typeof content === "string" ? content : undefined;
}

function readAddedTokens(folder: string): Record<string, number> {
  const file = join(folder, "added_tokens.json");
  return existsSync(file) ? checkedVocabulary(file, readJson(file), "added_tokens") : {};
}

function readMerges(file: string): string[] {
  const lines = readText(file).split("\n");
  if (lines[0]?.startsWith("#version") === true) lines.shift();
  const merges = lines.map((line) => line.replace(/\r$/, "")).filter((line) => line !== "");
  const broken = merges.findIndex((merge) => merge.split(" ").length !== 2);
  if (broken !== -1) {
    throw new TokenizerError("expected two tokens with one blank between them", {
      file,
      field: `merge ${broken + 1}`,
      value: merges[broken],
    });
  }
  return merges;
}
