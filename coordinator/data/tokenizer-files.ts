import { existsSync } from "node:fs";
import { join } from "node:path";
import { show, TokenizerError } from "./errors.ts";
import { readTokenizerJson } from "./tokenizer-json.ts";
import {
  type AddedToken,
  asRecord,
  checkedVocabulary,
  checkMerges,
  idsOf,
  lookUp,
  readJson,
  readText,
  robertaSpecials,
  type SpecialTokens,
  specialNames,
  stripFlags,
  type TokenizerFiles,
} from "./tokenizer-parts.ts";

/** Keys of `special_tokens_map.json` for each special token; the first one there counts. */
const mapKeys = {
  first: ["bos_token", "cls_token"],
  end: ["eos_token", "sep_token"],
  pad: ["pad_token"],
  unk: ["unk_token"],
  mask: ["mask_token"],
} as const;

/**
 * Reads a tokenizer folder: `vocab.json` + `merges.txt` (with `special_tokens_map.json` and `added_tokens.json` where they are
 * there), else `tokenizer.json`. Where both are there the first counts: the published code uses the tokenizer built from them.
 *
 * Blanks beside special tokens: `specialTokens` where it is given; else what the folder says (strings in
 * `special_tokens_map.json` strip both sides, objects and `tokenizer.json` carry their own flags, a token that the map does not
 * name is as in roberta-base); else `codebert`, since that is what the published code loads.
 */
export function readTokenizerFiles(folder: string, specialTokens?: SpecialTokens): TokenizerFiles {
  const vocabFile = join(folder, "vocab.json");
  const mergesFile = join(folder, "merges.txt");
  const whole = join(folder, "tokenizer.json");
  if (existsSync(vocabFile) && existsSync(mergesFile)) {
    return fromVocabulary(folder, vocabFile, mergesFile, specialTokens);
  }
  if (existsSync(whole)) return readTokenizerJson(whole, specialTokens);
  throw new TokenizerError("no tokenizer there: neither vocab.json with merges.txt, nor tokenizer.json", {
    file: folder,
  });
}

function fromVocabulary(
  folder: string,
  vocabFile: string,
  mergesFile: string,
  specialTokens: SpecialTokens | undefined,
): TokenizerFiles {
  const vocab = checkedVocabulary(vocabFile, readJson(vocabFile), "vocab");
  const merges = readMerges(mergesFile);
  const mapFile = join(folder, "special_tokens_map.json");
  const map = existsSync(mapFile) ? asRecord(mapFile, readJson(mapFile)) : undefined;
  const contents: Record<string, string> = { ...robertaSpecials };
  const addedTokens = new Map<string, AddedToken>();
  const added = readAddedTokens(folder);
  const idOf = lookUp(vocab, added);
  for (const name of specialNames) {
    const entry = mapKeys[name].map((key) => map?.[key]).find((value) => value !== undefined);
    const content = contentOf(entry) ?? robertaSpecials[name];
    contents[name] = content;
    const id = idOf(content);
    if (id === undefined) throw new TokenizerError(`has no token ${show(content)}`, { file: vocabFile });
    const told = flagsOf(entry) ?? stripFlags(map === undefined ? "codebert" : "roberta", name);
    const strip = specialTokens === undefined ? told : stripFlags(specialTokens, name);
    addedTokens.set(content, { content, id, ...strip });
  }
  for (const [content, id] of Object.entries(added)) {
    if (addedTokens.has(content)) continue;
    addedTokens.set(content, { content, id, lstrip: true, rstrip: true });
  }
  checkMerges(mergesFile, merges, vocab);
  return {
    file: vocabFile,
    vocab,
    merges,
    addedTokens: [...addedTokens.values()],
    ids: idsOf(vocabFile, contents, idOf),
  };
}

/** Flags of an entry of `special_tokens_map.json`: a plain string strips both sides, an object says it itself. */
function flagsOf(entry: unknown): { readonly lstrip: boolean; readonly rstrip: boolean } | undefined {
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
