import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
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

export const specialNames = ["first", "end", "pad", "unk", "mask"] as const;

/** Ids of the special tokens. */
export type SpecialIds = Readonly<Record<(typeof specialNames)[number], number>>;

/** A byte-level BPE tokenizer as its files describe it. */
export interface TokenizerFiles {
  /** The file that holds the vocabulary, for messages. */
  readonly file: string;
  readonly vocab: Readonly<Record<string, number>>;
  /** Merges in rank order, as `"left right"` or as pairs. */
  readonly merges: readonly (string | readonly string[])[];
  readonly addedTokens: readonly AddedToken[];
  readonly ids: SpecialIds;
}

const robertaSpecials = { first: "<s>", end: "</s>", pad: "<pad>", unk: "<unk>", mask: "<mask>" } as const;

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
  if (existsSync(whole)) return fromTokenizerJson(whole, specialTokens);
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
  return {
    file: vocabFile,
    vocab,
    merges,
    addedTokens: [...addedTokens.values()],
    ids: idsOf(vocabFile, contents, idOf),
  };
}

function fromTokenizerJson(file: string, specialTokens: SpecialTokens | undefined): TokenizerFiles {
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
  const merges = model.merges;
  if (!Array.isArray(merges))
    throw new TokenizerError("expected a list", { file, field: "model.merges", value: merges });
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
    merges: merges as (string | string[])[],
    addedTokens,
    ids: idsOf(file, robertaSpecials, lookUp(vocab, added)),
  };
}

function stripFlags(
  specialTokens: SpecialTokens,
  name: (typeof specialNames)[number],
): { readonly lstrip: boolean; readonly rstrip: boolean } {
  const both = specialTokens === "codebert";
  return { lstrip: both || name === "mask", rstrip: both };
}

/** Flags of an entry of `special_tokens_map.json`: a plain string strips both sides, an object says it itself. */
function flagsOf(entry: unknown): { readonly lstrip: boolean; readonly rstrip: boolean } | undefined {
  if (typeof entry === "string") return { lstrip: true, rstrip: true };
  if (entry === null || typeof entry !== "object") return undefined;
  const { lstrip, rstrip } = entry as Record<string, unknown>;
  return { lstrip: lstrip === true, rstrip: rstrip === true };
}

/** Look-up by token; a token of `added` hides one of the vocabulary. */
function lookUp(
  vocab: Readonly<Record<string, number>>,
  added: Readonly<Record<string, number>>,
): (token: string) => number | undefined {
  const ids = new Map([...Object.entries(vocab), ...Object.entries(added)]);
  return (token) => ids.get(token);
}

function contentOf(entry: unknown): string | undefined {
  const content =
    entry !== null && typeof entry === "object" ? (entry as Record<string, unknown>).content : entry;
  return typeof content === "string" ? content : undefined;
}

function idsOf(
  file: string,
  contents: Readonly<Record<string, string>>,
  idOf: (content: string) => number | undefined,
): SpecialIds {
  const ids = specialNames.map((name) => {
    const id = idOf(contents[name]!);
    if (id === undefined) throw new TokenizerError(`has no token ${show(contents[name])}`, { file });
    return [name, id] as const;
  });
  return Object.fromEntries(ids) as unknown as SpecialIds;
}

function readAddedTokens(folder: string): Record<string, number> {
  const file = join(folder, "added_tokens.json");
  return existsSync(file) ? checkedVocabulary(file, readJson(file), "added_tokens") : {};
}

function checkedVocabulary(file: string, value: unknown, field: string): Record<string, number> {
  const vocab = asRecord(file, value, field);
  for (const [token, id] of Object.entries(vocab)) {
    if (!Number.isInteger(id) || (id as number) < 0) {
      throw new TokenizerError("expected a token id", { file, field: `${field}[${show(token)}]`, value: id });
    }
  }
  return vocab as Record<string, number>;
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

function asRecord(file: string, value: unknown, field?: string): Record<string, unknown> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new TokenizerError(
      "expected an object",
      field === undefined ? { file } : { file, field, value: value ?? null },
    );
  }
  return value as Record<string, unknown>;
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new TokenizerError(`cannot be read: ${(cause as Error).message}`, { file }, { cause });
  }
}

function readJson(file: string): unknown {
  const text = readText(file);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TokenizerError(`is not JSON: ${(cause as Error).message}`, { file }, { cause });
  }
}
