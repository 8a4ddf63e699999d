import { describe, expect, it } from "vitest";
import { readCloneRows } from "../../../coordinator/data/clone-rows.ts";
import { maskedVariants } from "../../../coordinator/data/positions.ts";
import { encodeSnippet } from "../../../coordinator/data/row-ids.ts";
import { codeText, readDefectRows } from "../../../coordinator/data/samples.ts";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { loadTinyTokenizer } from "../../support/tiny-tokenizer.ts";

interface GoldenVariable {
  readonly name: string;
  readonly word: number;
  readonly sub_token: number;
  readonly masked_length: number;
}

interface GoldenRow {
  readonly row: number;
  readonly ids: readonly number[];
  readonly variables: readonly GoldenVariable[];
  readonly missing: readonly string[];
}

describe("masked variants of a row", () => {
  const tokenizer = loadTinyTokenizer();
  const codeTokens = ["int", "f", "(", "int", "x", ")", "{", "f", "(", "x", ")", ";", "}"];

  it("hide every occurrence of one variable each, in order of first occurrence", () => {
    const { variants, missing } = maskedVariants(
      { codeTokens, variables: ["x", "f", "x", "gone"] },
      tokenizer,
      400,
    );
    expect(variants.map(({ name, word }) => [name, word])).toEqual([
      ["f", 1],
      ["x", 4],
    ]);
    expect(missing).toEqual(["gone"]);
    const text = variants[1]!.ids.map((id) => tokenizer.tokenOf(id)).join("");
    expect(text).toBe("<s>intĠfĠ(Ġint<unk>)Ġ{ĠfĠ(<unk>)Ġ;Ġ}</s>");
  });

  it("start where the variable's first sub-token stands in the whole row", () => {
    const row = tokenizer.encodeRow(codeText(codeTokens), 400);
    for (const { name, subToken } of maskedVariants({ codeTokens, variables: ["f", "x"] }, tokenizer, 400)
      .variants) {
      expect(tokenizer.decode(row.slice(subToken, subToken + 2))).toBe(` ${name}`);
    }
  });

  it.skipIf(!hasShared).each([
    [
      "defect detection",
      "defect-codebert-backdoored",
      "roberta-base",
      () =>
        readDefectRows(sharedPath("golden", "trained", "defect-data", "clean_samples.jsonl"), {
          need: ["variables"],
        }),
    ],
    [
      "clone detection, where they are the first function's",
      "clone-codet5-backdoored",
      "codet5-base",
      () =>
        readCloneRows(sharedPath("golden", "trained", "clone-codet5-backdoored", "clean_samples.jsonl"), {
          need: ["variables1"],
        }).map(({ first }) => first),
    ],
  ] as const)("equal the reference's on the 30 recorded rows of %s", (_, model, folder, readSnippets) => {
    const golden = readSharedJson<{ inversion: Record<string, { sample_rows: GoldenRow[] }> }>(
      "golden",
      "trained",
      model,
      "expected.json",
    ).inversion["1->0"]!.sample_rows;
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", folder));
    const snippets = readSnippets();
    expect(golden).toHaveLength(30);
    for (const { row, ids, variables, missing } of golden) {
      const { codeTokens, variables: names } = snippets[row]!;
      expect(encodeSnippet({ codeTokens }, tokenizer, 400)).toEqual(ids);
      const got = maskedVariants({ codeTokens, variables: names! }, tokenizer, 400);
      expect(
        got.variants.map(({ name, word, subToken, ids: masked }) => [name, word, subToken, masked.length]),
      ).toEqual(
        variables.map(({ name, word, sub_token, masked_length }) => [name, word, sub_token, masked_length]),
      );
      expect(got.missing).toEqual(missing);
    }
  });

  it.skipIf(!hasShared)(
    "hide a variable from StarCoder as ordinary text, since its unknown token would end the row",
    () => {
      const starCoder = loadTokenizer(sharedPath("data", "tokenizers", "starcoder"));
      const [variant] = maskedVariants({ codeTokens, variables: ["x"] }, starCoder, 400).variants;
      expect(variant!.ids).not.toContain(starCoder.ids.pad);
      expect(starCoder.decode(variant!.ids.slice(1, -1))).toBe("int f ( int <unk> ) { f ( <unk> ) ; }");
    },
  );
});
