import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadTokenizer, type Tokenizer } from "../../coordinator/data/tokenizer.ts";

/** Vocabulary of a byte-level BPE tokenizer small enough to read: special tokens, single letters and some merges. */
export const tinyMerges = ["i n", "in t", "Ġ int", "f o", "fo o", "Ġ foo"];

export function tinyVocabulary(): Record<string, number> {
  const letters = [..."abcdefghijklmnopqrstuvwxyz0123456789_(){};=*+-.,<>Ġ"];
  const merged = tinyMerges.map((merge) => merge.replace(" ", ""));
  const tokens = ["<s>", "<pad>", "</s>", "<unk>", ...letters, ...merged, "<mask>"];
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

/** A new folder with the tiny tokenizer, and further files by name and content. */
export function tinyTokenizerFolder(further: Readonly<Record<string, unknown>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "elibad-tokenizer-"));
  writeTinyTokenizer(folder);
  for (const [name, content] of Object.entries(further)) {
    writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return folder;
}

/** Puts `vocab.json` and `merges.txt` of the tiny tokenizer into a folder. */
export function writeTinyTokenizer(folder: string): void {
  writeFileSync(join(folder, "vocab.json"), JSON.stringify(tinyVocabulary()));
  writeFileSync(join(folder, "merges.txt"), ["#version: 0.2", ...tinyMerges, ""].join("\n"));
}

/** The tiny tokenizer itself; its files are gone. */
export function loadTinyTokenizer(further: Readonly<Record<string, unknown>> = {}): Tokenizer {
  const folder = tinyTokenizerFolder(further);
  try {
    return loadTokenizer(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Puts a tokenizer of StarCoder's kind, with the same letters and merges and `size` tokens in all, into a folder. */
export function writeStarcoderTokenizer(folder: string, size: number): void {
  const special = ["<|endoftext|>", "<fim_prefix>", "<fim_middle>"];
  const plain = Object.keys(tinyVocabulary()).filter((token) => !/^<.+>$/.test(token));
  const unused = Array.from({ length: size - special.length - plain.length }, (_, k) => `unused${k}`);
  const ids = [...special, ...plain, ...unused].map((token, id) => [token, id]);
  writeFileSync(join(folder, "vocab.json"), JSON.stringify(Object.fromEntries(ids)));
  writeFileSync(join(folder, "merges.txt"), ["#version: 0.2", ...tinyMerges, ""].join("\n"));
}
