import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  checkTokenizerFits,
  loadTokenizer,
  tokenizerOptionsOf,
} from "../../../coordinator/data/tokenizer.ts";
import { hasShared, readSharedJson, readSharedJsonl, sharedPath } from "../../support/shared.ts";
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
    ["codebert-base", "roberta-base", "codebert"],
    ["roberta-base", "roberta-base", "roberta"],
    ["codet5-base", "codet5-base", "codet5"],
    ["starcoder", "starcoder", "starcoder"],
  ] as const)(
    "give the ids of all 200 texts of %s, whether the family is told or found",
    (name, folder, arch) => {
      const path = sharedPath("data", "tokenizers", folder);
      const tokenizer = loadTokenizer(path, tokenizerOptionsOf(arch));
      if (arch !== "roberta") expect(loadTokenizer(path).family).toBe(tokenizer.family);
      const texts = readSharedJsonl<GoldenText>("golden", "text", "tokenize", `${name}.jsonl`);
      expect(texts).toHaveLength(200);
      for (const { text, ids, encoded_400 } of texts) {
        expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
        const row = encoded_400 ?? [tokenizer.ids.first, ...ids, tokenizer.ids.end];
        expect(tokenizer.encodeRow(text, 400), JSON.stringify(text)).toEqual(row);
      }
    },
  );

  it.each([
    ["codebert-base", "roberta-base"],
    ["codet5-base", "codet5-base"],
    ["starcoder", "starcoder"],
  ])("give back every text of %s that holds no special token", (name, folder) => {
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", folder));
    const texts = readSharedJsonl<GoldenText>("golden", "text", "tokenize", `${name}.jsonl`);
    const plain = texts.filter(({ text }) => !/<(s|\/s|pad|unk|mask|extra_id_\d+)>|<\|endoftext/.test(text));
    expect(plain.length).toBeGreaterThan(150);
    for (const { text, ids } of plain) expect(tokenizer.decode(ids)).toBe(text);
  });

  it.each([
    ["roberta-base", { first: 0, end: 2, pad: 1, unk: 3, restored: 2 }, 50_265],
    ["codet5-base", { first: 1, end: 2, pad: 0, unk: 3, restored: 2 }, 32_100],
    ["starcoder", { first: 1, end: 2, pad: 0, unk: 0, restored: 0 }, 49_152],
  ])("know the special ids and the size of %s", (folder, ids, size) => {
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", folder));
    expect(tokenizer.ids).toEqual(ids);
    expect(tokenizer.size).toBe(size);
  });

  it("turn the inverted triggers of the trained models into the recorded texts", () => {
    for (const [model, folder] of [
      ["defect-codebert-backdoored", "roberta-base"],
      ["clone-codet5-backdoored", "codet5-base"],
    ] as const) {
      const { inversion } = readSharedJson<{
        inversion: Record<string, { search: { trigger_ids: number[]; trigger: string } }>;
      }>("golden", "trained", model, "expected.json");
      const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", folder));
      for (const { search } of Object.values(inversion)) {
        expect(tokenizer.decode(search.trigger_ids)).toBe(search.trigger);
      }
    }
  });

  it("of another family than the model's are refused with what shows it", () => {
    const path = sharedPath("data", "tokenizers", "roberta-base");
    expect(() => loadTokenizer(path, tokenizerOptionsOf("codet5"))).toThrow(
      /vocab\.json: is a vocabulary of the roberta family \(.*\), expected one of codet5$/,
    );
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

  it.each(["<sep2>", "<encoder-only>", "a.*[b"])(
    "can be further ones, from added_tokens.json: %s",
    (token) => {
      const tokenizer = loadTokenizer(tiny({ "added_tokens.json": { [token]: 500 } }));
      expect(tokenizer.encode(`a${token}b`)).toEqual([tokenizer.idOf("a"), 500, tokenizer.idOf("b")]);
      expect(tokenizer.size).toBe(501);
    },
  );
});

describe("StarCoder's tokenizer.json", () => {
  const digits = { type: "Digits", individual_digits: true };
  const byteLevel = { type: "ByteLevel", add_prefix_space: false };
  function starCoder(preTokenizer: unknown, prefix = "<fim_prefix>", middle = "<fim_middle>"): string {
    const folder = mkdtempSync(join(tmpdir(), "elibad-tokenizer-"));
    folders.push(folder);
    const special = ["<|endoftext|>", prefix, middle];
    const vocab = Object.fromEntries(
      [...special, "a", "1", "2", "Ġ", "12", "a1"].map((token, id) => [token, id]),
    );
    writeFileSync(
      join(folder, "tokenizer.json"),
      JSON.stringify({
        added_tokens: special.map((content, id) => ({ id, content })),
        pre_tokenizer: preTokenizer,
        model: {
          type: "BPE",
          vocab,
          merges: [
            ["1", "2"],
            ["a", "1"],
          ],
        },
      }),
    );
    return folder;
  }

  it("splits digits off where it says so, and closes rows with the token that the published code takes", () => {
    const tokenizer = loadTokenizer(starCoder({ type: "Sequence", pretokenizers: [digits, byteLevel] }));
    expect(tokenizer.encodeRow("a12 <|endoftext|>", 10)).toEqual([1, 3, 4, 5, 6, 0, 2]);
    expect(loadTokenizer(starCoder(byteLevel)).encode("a 12")).toEqual([3, 6, 7]);
  });

  it("may spell its tokens as SantaCoder does", () => {
    const folder = starCoder(
      { type: "Sequence", pretokenizers: [digits, byteLevel] },
      "<fim-prefix>",
      "<fim-middle>",
    );
    const tokenizer = loadTokenizer(folder, { family: "starcoder" });
    expect(tokenizer.encodeRow("a12", 10)).toEqual([1, 3, 4, 5, 2]);
    expect(tokenizer.ids.restored).toBe(0);
  });

  it("is refused where it splits in another way", () => {
    const other = starCoder({ type: "Sequence", pretokenizers: [{ type: "Digits" }, byteLevel] });
    expect(() => loadTokenizer(other)).toThrow(
      /tokenizer\.json: field "pre_tokenizer" is \{"type":"Sequence"/,
    );
  });
});

describe("CodeT5's own files", () => {
  it("name its sentinels as tokens that strip the blank before them, and none are added to another vocabulary", () => {
    const vocab = Object.fromEntries(
      ["<pad>", "<s>", "</s>", "<unk>", "<mask>", "a", "Ġ", "Ġa"].map((t, id) => [t, id]),
    );
    const files = {
      "vocab.json": vocab,
      "merges.txt": "#version\nĠ a\n",
      "added_tokens.json": { "<extra_id_0>": 8 },
      "special_tokens_map.json": {
        additional_special_tokens: [{ content: "<extra_id_0>", lstrip: true, rstrip: false }],
      },
    };
    const tokenizer = loadTokenizer(tiny(files));
    expect(tokenizer.family).toBe("codet5");
    expect(tokenizer.encode("a <extra_id_0> a")).toEqual([5, 8, 7]);
    // A RoBERTa may have been trained with ids in this order.
    expect(loadTokenizer(tiny(files), { family: "roberta" }).family).toBe("roberta");
    expect(tokenizer.size).toBe(9);
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
