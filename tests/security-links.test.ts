import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../proto/package-root.ts";

test.each(["SECURITY.md", "docs/http.md"])("every file that %s points at is there", (document) => {
  const text = readFileSync(join(packageRoot, document), "utf8");
  const links = [...text.matchAll(/\]\(([^)#:\s]+)\)/g)].map(([, link]) => link!);
  const missing = links.filter((link) => !existsSync(join(packageRoot, dirname(document), link)));
  expect(missing).toEqual([]);
});
