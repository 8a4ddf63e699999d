import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { triggerVocabulary } from "../../../coordinator/data/vocabulary.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";
import { loadTinyTokenizer } from "../../support/tiny-tokenizer.ts";

describe("the trigger vocabulary", () => {
  it("holds letters, digits and underscores without a leading blank, ids ascending", () => {
    const tokenizer = loadTinyTokenizer({ "added_tokens.json": { zzz9: 100 } });
    const tokens = triggerVocabulary(tokenizer).map((id) => tokenizer.tokenOf(id));
    expect(tokens).toEqual([..."abcdefghijklmnopqrstuvwxyz0123456789_", "in", "int", "fo", "foo", "zzz9"]);
  });

  it.skipIf(!hasShared).each([
    ["codebert-base", "roberta-base"],
    ["codet5-base", "codet5-base"],
    ["starcoder", "starcoder"],
  ])("is the published filter's, on %s", (name, folder) => {
    interface Filtered {
      readonly vocabulary_size: number;
      readonly count: number;
      readonly sha256: string;
    }
    const golden = readSharedJson<Record<string, Filtered>>("golden", "text", "vocabulary", "filtered.json")[
      name
    ]!;
    const tokenizer = loadTokenizer(sharedPath("data", "tokenizers", folder));
    const ids = triggerVocabulary(tokenizer);
    expect(tokenizer.size).toBe(golden.vocabulary_size);
    expect(ids).toHaveLength(golden.count);
    expect(createHash("sha256").update(ids.join(",")).digest("hex")).toBe(golden.sha256);
  });
});
