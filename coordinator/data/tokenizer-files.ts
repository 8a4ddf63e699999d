import { existsSync } from "node:fs";
import { join } from "node:path";
import { TokenizerError } from "./errors.ts";
import { type Family, familyOf, idsOf, type SpecialIds, tokensOf } from "./tokenizer-family.ts";
import { readTokenizerJson } from "./tokenizer-json.ts";
import {
  type AddedToken,
  asRecord,
  checkedVocabulary,
  checkMerges,
  lookUp,
  maskToken,
  readJson,
  readText,
  type SpecialTokens,
  stripFlags,
  type TokenizerFiles,
} from "./tokenizer-parts.ts";

/** Every file that a tokenizer may consist of. */
export const TOKENIZER_FILES = [
  "vocab.json",
  "merges.txt",
  "tokenizer.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "tokenizer_config.json",
] as const;

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
  const told = readAddedTokens(folder);
  const family = familyOf(vocabFile, lookUp(vocab, told), expected);
  const added = family === "codet5" ? withSentinels(vocab, told) : told;
  const idOf = lookUp(vocab, added);
  const { tokens, strips } =
    family === "starcoder"
      ? starCoderSpecials(tokensOf(family, idOf))
      : namedSpecials(tokensOf(family, idOf), map, {
          asked: family === "roberta" ? specialTokens : undefined,
          withoutMap: family === "roberta" ? "codebert" : "roberta",
        });
  const ids = idsOf(vocabFile, tokens, idOf);
  const addedTokens = new Map<string, AddedToken>();
  const listed = [...strips, ...additionalTokens(map)].filter(([content]) => idOf(content) !== undefined);
  const others = Object.keys(added).map((content): [string, Strip] => [
    content,
    sentinels.includes(content) ? { lstrip: true, rstrip: false } : { lstrip: true, rstrip: true },
  ]);
  for (const [content, strip] of [...listed, ...others]) {
    if (!addedTokens.has(content)) addedTokens.set(content, { content, id: idOf(content)!, ...strip });
  }
  checkMerges(mergesFile, merges, vocab);
  return {
    file: vocabFile,
    family,
    vocab,
    merges,
    addedTokens: [...addedTokens.values()],
    splitsDigits: family === "starcoder",
    ids,
  };
}

/** CodeT5's sentinels where its own vocabulary comes without files that name them. */
function withSentinels(
  vocab: Readonly<Record<string, number>>,
  added: Readonly<Record<string, number>>,
): Record<string, number> {
  if (Object.keys(vocab).length !== codeT5Entries || Object.keys(added).length > 0) return { ...added };
  return Object.fromEntries(sentinels.map((token, k) => [token, codeT5Entries + k]));
}

/** The tokens with a part in every row, and what each special token does to the blanks beside it. */
interface Specials {
  readonly tokens: Readonly<Record<keyof SpecialIds, string>>;
  readonly strips: ReadonlyMap<string, Strip>;
}

const starCoderSpecials = (tokens: Specials["tokens"]): Specials => ({
  tokens,
  strips: new Map([...starCoderTokens, ...Object.values(tokens)].map((token) => [token, keepsBlanks])),
});

/** RoBERTa's and CodeT5's, under the names and with the flags that `special_tokens_map.json` gives them. */
function namedSpecials(
  byFamily: Specials["tokens"],
  map: Readonly<Record<string, unknown>> | undefined,
  { asked, withoutMap }: { readonly asked: SpecialTokens | undefined; readonly withoutMap: SpecialTokens },
): Specials {
  const strips = new Map<string, Strip>();
  const name = (part: keyof typeof mapKeys, fallback: string): string => {
    const entry = mapKeys[part].map((key) => map?.[key]).find((value) => value !== undefined);
    const content = contentOf(entry) ?? fallback;
    const told = flagsOf(entry) ?? stripFlags(map === undefined ? withoutMap : "roberta", content);
    strips.set(content, asked === undefined ? told : stripFlags(asked, content));
    return content;
  };
  const first = name("first", byFamily.first);
  const end = name("end", byFamily.end);
  const pad = name("pad", byFamily.pad);
  const unk = name("unk", byFamily.unk);
  name("mask", maskToken);
  return { tokens: { first, end, pad, unk, restored: end }, strips };
}

type Strip = Pick<AddedToken, "lstrip" | "rstrip">;

const keepsBlanks: Strip = { lstrip: false, rstrip: false };

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
