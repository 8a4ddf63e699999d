/** Inputs as folders of files: `corpus/<parser>/<case>/`. A case whose name begins with `valid` is one that the parser takes, and what inputs are made from. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "../../proto/canonical-json.ts";
import { packageRoot } from "../../proto/package-root.ts";
import type { Files } from "./parser.ts";

const root = join(packageRoot, "tests/fuzz");

/** Files of a folder, by name. */
export const readFiles = (folder: string): Files =>
  Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map((name) => [name, readFileSync(join(folder, name))]),
  );

/** All cases of a parser, by name. */
export function corpusOf(parser: string): Record<string, Files> {
  const folder = join(root, "corpus", parser);
  if (!existsSync(folder)) return {};
  return Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map((name) => [name, readFiles(join(folder, name))]),
  );
}

/** Those that the parser takes. */
export const validOf = (parser: string): Files[] =>
  Object.entries(corpusOf(parser)).flatMap(([name, files]) => (name.startsWith("valid") ? [files] : []));

/** Puts an input that went wrong where it can be tried again, and answers its folder, relative to the checkout. */
export function saveFound(parser: string, files: Files): string {
  const digest = digestOf(Buffer.concat(Object.values(files)));
  const folder = `tests/fuzz/found/${parser}-${digest.slice(0, 12)}`;
  mkdirSync(join(packageRoot, folder), { recursive: true });
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(packageRoot, folder, name), bytes);
  return folder;
}
