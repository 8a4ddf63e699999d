import { createHash } from "node:crypto";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TokenFile } from "../../../coordinator/http/tokens.ts";
import { tempFolder } from "../../support/temp-folder.ts";

const sha256 = (token: string) => createHash("sha256").update(token).digest("hex");

/** A file of tokens with these lines. */
function fileOf(...lines: readonly string[]): string {
  const file = join(tempFolder(), "tokens");
  writeFileSync(file, lines.join("\n"));
  return file;
}

test("a token is its name's and role's, and any other is nobody's", () => {
  const tokens = new TokenFile(
    fileOf("# the lab", "", `alice admin ${sha256("secret-a")}`, `page  submitter\t${sha256("secret-b")}`),
  );
  expect(tokens.principalOf("secret-a")).toEqual({ name: "alice", role: "admin" });
  expect(tokens.principalOf("secret-b")).toEqual({ name: "page", role: "submitter" });
  for (const wrong of ["", "secret", "secret-aa", sha256("secret-a"), "a".repeat(10_000)])
    expect(tokens.principalOf(wrong), wrong).toBeUndefined();
});

test.each([
  ["alice admin", /line 1: expected 'name role sha256'/],
  [`alice admin ${sha256("a")} more`, /line 1: expected/],
  [`alice worker ${sha256("a")}`, /line 1: 'worker' is no role here: submitter or admin/],
  ["alice admin secret", /line 1: the third word must be the token's sha256/],
  [`al/ice admin ${sha256("a")}`, /line 1: a name is/],
  [`a admin ${sha256("a")}\na submitter ${sha256("b")}`, /two tokens have the name 'a'/],
  ["# nobody", /holds no token/],
])("a file that holds %j is refused with its line", (text, problem) => {
  expect(() => new TokenFile(fileOf(text))).toThrow(problem);
  expect(() => new TokenFile(join(tempFolder(), "none"))).toThrow(/none: no such file/);
});

test("a file that changes is read again, also behind a link, and one that is broken or gone leaves the tokens before in use", () => {
  const folder = tempFolder();
  const write = (version: string, text: string) => {
    mkdirSync(join(folder, version));
    writeFileSync(join(folder, version, "tokens"), text);
    symlinkSync(version, join(folder, "next"));
    renameSync(join(folder, "next"), join(folder, "data"));
  };
  write("1", `alice admin ${sha256("old")}`);
  const said: string[] = [];
  const tokens = new TokenFile(join(folder, "data", "tokens"), (line) => void said.push(line));
  expect(tokens.principalOf("old")).toMatchObject({ name: "alice" });

  write("2", `alice admin ${sha256("new")}`);
  expect(tokens.principalOf("old")).toBeUndefined();
  expect(tokens.principalOf("new")).toMatchObject({ name: "alice" });

  write("3", "alice admin");
  expect(tokens.principalOf("new")).toMatchObject({ name: "alice" });
  rmSync(join(folder, "data"));
  expect(tokens.principalOf("new")).toMatchObject({ name: "alice" });
  expect(said).toEqual([
    expect.stringContaining("was read again: 1 tokens"),
    expect.stringMatching(/line 1: expected .*; the tokens that it held before stay in use/),
    expect.stringMatching(/no such file; the tokens that it held before stay in use/),
  ]);
});
