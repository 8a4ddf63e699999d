import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sharedTokenizer } from "../../../coordinator/cli/shared-tokenizers.ts";
import { tempFolder } from "../../support/temp-folder.ts";
import { writeTinyTokenizer } from "../../support/tiny-tokenizer.ts";

test("a folder's tokenizer is one object for all who use it, until a file of it changes", () => {
  const folder = tempFolder();
  writeTinyTokenizer(folder);
  const first = sharedTokenizer(folder, {});
  expect(sharedTokenizer(folder, {})).toBe(first);
  expect(sharedTokenizer(folder, { specialTokens: "roberta" })).not.toBe(first);
  writeFileSync(join(folder, "added_tokens.json"), JSON.stringify({ zzz9: 500 }));
  const changed = sharedTokenizer(folder, {});
  expect(changed).not.toBe(first);
  expect(changed.idOf("zzz9")).toBe(500);
});
