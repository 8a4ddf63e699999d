import { describe, expect, test } from "vitest";
import type { Language } from "../../../../coordinator/data/dead-code.ts";
import { removeComments } from "../../../../coordinator/data/preprocess/remove-comments.ts";
import { cpuSeconds } from "../../../support/cpu-seconds.ts";
import { hasShared, readSharedJsonl } from "../../../support/shared.ts";
import { publishedError } from "./published-error.ts";

interface GoldenRow {
  readonly lang: Language;
  readonly name: string;
  readonly code: string;
  readonly value?: string;
  readonly error?: { readonly type: string; readonly message: string };
}

const rows = hasShared
  ? readSharedJsonl<GoldenRow>("golden", "text", "preprocess", "edge-comments-removed.jsonl")
  : [];

describe.skipIf(!hasShared)(
  "removing comments agrees with the published remove_comments_and_docstrings",
  () => {
    test.each(rows)("on $lang: $name", ({ lang, code, value, error }) => {
      let actual: unknown;
      try {
        actual = removeComments(code, lang);
      } catch (refused) {
        actual = publishedError(refused);
      }
      expect(actual).toEqual(value ?? error);
    });
  },
);

test("only \\n ends a line comment, as for Python's $", () => {
  expect(removeComments("a; // b\u2028c\rd\ne;", "java")).toBe("a;  \ne;");
});

test.each([
  ["comments", "/*x"],
  ["literals", "\\'"],
])("a megabyte of %s that open and never end is read in one go", async (_, mark) => {
  const endless = `'${mark.repeat(500_000)}`;
  const seconds = await cpuSeconds(() => expect(removeComments(endless, "cpp")).toBe(endless));
  expect(seconds).toBeLessThan(2);
});
