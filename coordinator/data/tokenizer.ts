import { type Tokenizer as Bpe, Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { regexBlankClass, stripEnd, stripStart } from "./blanks.ts";
import { TokenizerError } from "./errors.ts";
import type { Family, SpecialIds } from "./tokenizer-family.ts";
import { readTokenizerFiles } from "./tokenizer-files.ts";
import {
  type AddedToken,
  checkAddedTokens,
  type SpecialTokens,
  type TokenizerFiles,
} from "./tokenizer-parts.ts";

/** A byte-level BPE tokenizer (RoBERTa, CodeT5, StarCoder). Gives the ids that transformers 4.33 gives for the same files. */
export interface Tokenizer {
  /** The file that holds the vocabulary, for messages. */
  readonly file: string;
  readonly family: Family;
  readonly ids: SpecialIds;
  /**
   * What a hidden word of the code becomes (DESIGN section 5.2): the text `<unk>`. To StarCoder it is ordinary text, since its own token
   * for unknown words is its pad.
   */
  readonly hidden: string;
  /** Largest id + 1: how many rows an embedding needs at least. */
  readonly size: number;
  /** Ids of a text, without first and end token. A special token written in the text becomes its id. */
  encode(text: string): number[];
  /** First token, at most `maxLen` − 2 ids, end token: a model's input row, unpadded. */
  encodeRow(text: string, maxLen: number): number[];
  /** The token of an id as the vocabulary spells it (bytes as the GPT-2 alphabet, `Ġ` for a leading blank); undefined if there is none. */
  tokenOf(id: number): string | undefined;
  idOf(token: string): number | undefined;
  /** Text of a list of ids: tokens joined, bytes decoded as UTF-8. */
  decode(ids: readonly number[]): string;
}

export interface TokenizerOptions {
  /** The model's family, where it is known: a tokenizer of another one is refused. */
  readonly family?: Family;
  /** Blanks beside special tokens; RoBERTa only. Without it what the folder says, and `codebert` where it says nothing. */
  readonly specialTokens?: SpecialTokens;
}

/** Model families as the published code names them. */
export type Arch = "codebert" | "unixcoder" | "roberta" | "codet5" | "starcoder";

/** Family of the tokenizer by `model_type` of a model's `config.json`. */
export const familyOfModel: Readonly<Record<string, Family>> = {
  roberta: "roberta",
  t5: "codet5",
  gpt_bigcode: "starcoder",
};

/** How a model family's tokenizer is read, where the user names the family. */
export function tokenizerOptionsOf(arch: Arch): TokenizerOptions {
  if (arch === "codet5" || arch === "starcoder") return { family: arch };
  return arch === "roberta" ? { family: "roberta", specialTokens: "roberta" } : { family: "roberta" };
}

/** Reads the tokenizer of a folder. @throws TokenizerError that names the file and what is wrong there. */
export function loadTokenizer(folder: string, options: TokenizerOptions = {}): Tokenizer {
  return makeTokenizer(readTokenizerFiles(folder, options));
}

/** GPT-2's split into pieces that byte-pair encoding never joins, with Python's idea of a blank. */
const pieces = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${regexBlankClass}\\p{L}\\p{N}]+` +
    `|[${regexBlankClass}]+(?![^${regexBlankClass}])|[${regexBlankClass}]+`,
  "gu",
);

/** Digits one by one, and what lies between them. */
const digitsAndRest = /\p{N}|\P{N}+/gu;

/** Pieces remembered with their ids; a text of code has few new ones. */
const rememberedPieces = 200_000;

export function makeTokenizer(files: TokenizerFiles): Tokenizer {
  checkAddedTokens(files);
  const bpe = libraryTokenizer(files);
  const split = splitterOf(files.addedTokens);
  const byContent = new Map(files.addedTokens.map((token) => [token.content, token]));
  const idOf = new Map(Object.entries(files.vocab));
  for (const { content, id } of files.addedTokens) idOf.set(content, id);
  const tokenOf = new Map([...idOf].map(([token, id]) => [id, token]));
  const size = [...tokenOf.keys()].reduce((largest, id) => Math.max(largest, id), -1) + 1;
  const remembered = new Map<string, readonly number[]>();

  const encodePiece = (piece: string): readonly number[] => {
    const known = remembered.get(piece);
    if (known !== undefined) return known;
    // The library is slow on whole texts (its cache is small and it splits character by character), exact on pieces.
    const ids = bpe.encode(piece, { add_special_tokens: false }).ids;
    if (remembered.size >= rememberedPieces) remembered.clear();
    remembered.set(piece, ids);
    return ids;
  };

  const encode = (text: string): number[] => {
    const ids: number[] = [];
    for (const section of sections(text, split, byContent)) {
      if (typeof section !== "string") ids.push(section.id);
      else
        for (const part of files.splitsDigits ? (section.match(digitsAndRest) ?? []) : [section]) {
          for (const [piece] of part.matchAll(pieces)) ids.push(...encodePiece(piece));
        }
    }
    return ids;
  };

  return {
    file: files.file,
    family: files.family,
    ids: files.ids,
    hidden: "<unk>",
    size,
    encode,
    encodeRow: (text, maxLen) => [files.ids.first, ...encode(text).slice(0, maxLen - 2), files.ids.end],
    tokenOf: (id) => tokenOf.get(id),
    idOf: (token) => idOf.get(token),
    decode: (ids) => (ids.length === 0 ? "" : bpe.decode([...ids], { clean_up_tokenization_spaces: false })),
  };
}

/** The library's byte-pair encoding and byte-level decoding; splitting at special tokens and into pieces is done here. */
function libraryTokenizer({ vocab, merges, addedTokens, ids }: TokenizerFiles): Bpe {
  const unknown = addedTokens.find(({ id }) => id === ids.unk)?.content;
  return new LibraryTokenizer(
    {
      added_tokens: addedTokens.map(({ content, id }) => ({ content, id, special: true, normalized: false })),
      normalizer: null,
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: false },
      post_processor: null,
      decoder: { type: "ByteLevel" },
      model: { type: "BPE", vocab, merges, unk_token: unknown },
    },
    {},
  );
}

/** Matches any added token, the longest first where one is the beginning of another. */
function splitterOf(addedTokens: readonly AddedToken[]): RegExp | undefined {
  if (addedTokens.length === 0) return undefined;
  const contents = addedTokens.map(({ content }) => content).sort((a, b) => b.length - a.length);
  return new RegExp(`(${contents.map(escapeRegExp).join("|")})`, "u");
}

const escapeRegExp = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

/** The text cut at its added tokens, each of which strips the blanks beside it where its flags say so. */
function sections(
  text: string,
  split: RegExp | undefined,
  byContent: ReadonlyMap<string, AddedToken>,
): (string | AddedToken)[] {
  const parts = split === undefined ? [text] : text.split(split);
  const added = parts.map((part, index) => (index % 2 === 1 ? byContent.get(part) : undefined));
  return parts.map((part, index) => {
    const here = added[index];
    if (here !== undefined) return here;
    const left = added[index - 1]?.rstrip === true ? stripStart(part) : part;
    return added[index + 1]?.lstrip === true ? stripEnd(left) : left;
  });
}

/** A vocabulary may be padded to a multiple of a power of two in the embedding; more rows than that are another tokenizer's. */
const longestPadding = 128;

/**
 * Refuses a tokenizer that is not the model's: an id without a row of the embedding, or many rows without an id.
 *
 * @param embeddingRows rows of the word embedding (`vocab_size`)
 * @throws TokenizerError with both files and both numbers
 */
export function checkTokenizerFits(
  tokenizer: Tokenizer,
  embeddingRows: number,
  checkpointFile: string,
): void {
  const spare = embeddingRows - tokenizer.size;
  if (spare === 0) return;
  if (spare > 0 && spare < longestPadding && embeddingRows % 8 === 0) return;
  throw new TokenizerError(
    `has ids up to ${tokenizer.size - 1} (${tokenizer.size} tokens), but the word embedding of ${checkpointFile} has ${embeddingRows} rows: not this model's tokenizer`,
    { file: tokenizer.file },
  );
}
