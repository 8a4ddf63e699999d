import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { checkTokenizerFits, loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { hasShared, readSharedJsonl, sharedPath } from "../../support/shared.ts";
import { tinyMerges, tinyTokenizerFolder, tinyVocabulary } from "../../support/tiny-tokenizer.ts";

interface GoldenText {
  readonly text: string;
  readonly ids: readonly number[];
  readonly encoded_400?: readonly number[];
}

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function tiny(further: Readonly<Record<string, unknown>> = {}): string {
  const folder = tinyTokenizerFolder(further);
  folders.push(folder);
  return folder;
}

describe.skipIf(!hasShared)("tokenizers against transformers", () => {
  it.each([
    ["codebert-base", "codebert"],
    ["roberta-base", "roberta"],
  ] as const)("give the ids of all 200 texts of %s", (name, specialTokens) => {
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", "roberta-base"), { specialTokens });
    const texts = readSharedJsonl<GoldenText>("golden", "text", "tokenize", `${name}.jsonl`);
    expect(texts).toHaveLength(200);
    for (const { text, ids, encoded_400 } of texts) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      const row = encoded_400 ?? [tokenizer.ids.first, ...ids, tokenizer.ids.end];
      expect(tokenizer.encodeRow(text, 400), JSON.stringify(text)).toEqual(row);
    }
  });

  it("give back every text that holds no special token", () => {
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", "roberta-base"));
    const texts = readSharedJsonl<GoldenText>("golden", "text", "tokenize", "codebert-base.jsonl");
    const plain = texts.filter(({ text }) => !/<(s|\/s|pad|unk|mask)>/.test(text));
    expect(plain.length).toBeGreaterThan(150);
    for (const { text, ids } of plain) expect(tokenizer.decode(ids)).toBe(text);
  });

  it("agree whether the same tokenizer comes as vocab.json + merges.txt or as tokenizer.json", () => {
    const fromFiles = loadTokenizer(tiny());
    const whole = mkdtempSync(join(tmpdir(), "elibad-tokenizer-"));
    folders.push(whole);
    writeFileSync(join(whole, "tokenizer.json"), JSON.stringify(tinyTokenizerJson()));
    const fromWhole = loadTokenizer(whole, { specialTokens: "codebert" });
    for (const text of ["int foo", " int  <unk> foo", "<mask>x", "a </s> b", ""]) {
      expect(fromWhole.encode(text)).toEqual(fromFiles.encode(text));
    }
    expect(fromWhole.size).toBe(fromFiles.size);
  });
});

describe("special tokens inside a text", () => {
  const blanks = (tokenizer: ReturnType<typeof loadTokenizer>) =>
    tokenizer.encode("a <unk> b").map((id) => tokenizer.tokenOf(id));

  it("strip the blanks beside them, if the folder says nothing", () => {
    expect(blanks(loadTokenizer(tiny()))).toEqual(["a", "<unk>", "b"]);
  });

  it("strip where special_tokens_map.json holds strings, and keep where it holds tokens that keep", () => {
    const strings = loadTokenizer(tiny({ "special_tokens_map.json": { unk_token: "<unk>" } }));
    expect(blanks(strings)).toEqual(["a", "<unk>", "b"]);
    const objects = loadTokenizer(
      tiny({ "special_tokens_map.json": { unk_token: { content: "<unk>", lstrip: false, rstrip: false } } }),
    );
    expect(blanks(objects)).toEqual(["a", "Ġ", "<unk>", "Ġ", "b"]);
  });

  it("keep in tokenizer.json that says so, unless the caller asks otherwise", () => {
    const folder = mkdtempSync(join(tmpdir(), "elibad-tokenizer-"));
    folders.push(folder);
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(tinyTokenizerJson()));
    expect(blanks(loadTokenizer(folder))).toEqual(["a", "Ġ", "<unk>", "Ġ", "b"]);
    expect(blanks(loadTokenizer(folder, { specialTokens: "codebert" }))).toEqual(["a", "<unk>", "b"]);
  });

  it("can be further ones, from added_tokens.json", () => {
    const tokenizer = loadTokenizer(tiny({ "added_tokens.json": { "<sep2>": 500 } }));
    expect(tokenizer.encode("a<sep2>b")).toEqual([tokenizer.idOf("a"), 500, tokenizer.idOf("b")]);
    expect(tokenizer.size).toBe(501);
  });
});

describe("rows", () => {
  it("keep at most maxLen tokens, both end tokens included", () => {
    const tokenizer = loadTokenizer(tiny());
    const row = tokenizer.encodeRow("int foo int foo", 4);
    expect(row).toEqual([0, tokenizer.idOf("int"), tokenizer.idOf("Ġfoo"), 2]);
  });
});

describe("a tokenizer that cannot be used", () => {
  it.each([
    [{ "vocab.json": "{" }, /vocab\.json: is not JSON/],
    [
      { "vocab.json": { a: 0, "<s>": "no" } },
      /vocab\.json: field "vocab\["<s>"\]" is "no": expected a token id/,
    ],
    [{ "vocab.json": { a: 0 } }, /vocab\.json: has no token "<s>"/],
    [{ "merges.txt": "#version\na b c\n" }, /merges\.txt: field "merge 1" is "a b c"/],
    [{ "special_tokens_map.json": { unk_token: "[UNK]" } }, /has no token "\[UNK\]"/],
  ])("is refused with its file and what is wrong: %j", (files, message) => {
    expect(() => loadTokenizer(tiny(files))).toThrow(message);
  });

  it("is refused where a folder has none", () => {
    const empty = mkdtempSync(join(tmpdir(), "elibad-tokenizer-"));
    folders.push(empty);
    expect(() => loadTokenizer(empty)).toThrow(`${empty}: no tokenizer there`);
  });

  it.each([
    [{ model: { type: "WordPiece", vocab: {} } }, /tokenizer\.json: field "model.type" is "WordPiece"/],
    [{ normalizer: { type: "Lowercase" } }, /field "normalizer"/],
    [{ pre_tokenizer: { type: "Whitespace" } }, /field "pre_tokenizer"/],
    [
      { model: { type: "BPE", vocab: tinyVocabulary(), merges: ["a b", 7] } },
      /field "model.merges\[1\]" is 7/,
    ],
  ])("is refused where tokenizer.json is of another kind: %j", (part, message) => {
    const folder = mkdtempSync(join(tmpdir(), "elibad-tokenizer-"));
    folders.push(folder);
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify({ ...tinyTokenizerJson(), ...part }));
    expect(() => loadTokenizer(folder)).toThrow(message);
  });

  it("is refused where the embedding has other rows, with both files and both numbers", () => {
    const tokenizer = loadTokenizer(tiny());
    const rows = tokenizer.size;
    const refused = (count: number) => () => checkTokenizerFits(tokenizer, count, "model.bin");
    expect(refused(rows)).not.toThrow();
    expect(refused(Math.ceil(rows / 64) * 64)).not.toThrow(); // padded for speed
    expect(refused(rows - 1)).toThrow(
      new RegExp(`vocab\\.json: has ids up to ${rows - 1} .* embedding of model\\.bin has ${rows - 1} rows`),
    );
    expect(refused(rows + 1151)).toThrow(/not this model's tokenizer/);
  });
});

/** The tiny tokenizer in one file, special tokens keeping the blanks beside them. */
function tinyTokenizerJson(): Record<string, unknown> {
  const vocab = tinyVocabulary();
  return {
    version: "1.0",
    added_tokens: ["<s>", "<pad>", "</s>", "<unk>", "<mask>"].map((content) => ({
      id: vocab[content],
      content,
      special: true,
      normalized: false,
      lstrip: content === "<mask>",
      rstrip: false,
    })),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
    model: { type: "BPE", vocab, merges: tinyMerges },
  };
}
