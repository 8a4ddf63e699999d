import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import treeSitter, { type Parser } from "@vscode/tree-sitter-wasm";
import type { Language } from "../dead-code.ts";

const grammarFolder = dirname(createRequire(import.meta.url).resolve("@vscode/tree-sitter-wasm"));

const parsers = new Map<Language, Promise<Parser>>();

/** The parser of a language, loaded once a thread. C is parsed as C++, as in the published code. */
export function parserOf(language: Language): Promise<Parser> {
  let parser = parsers.get(language);
  if (!parser) {
    parser = loadParser(language);
    parsers.set(language, parser);
  }
  return parser;
}

async function loadParser(language: Language): Promise<Parser> {
  await treeSitter.Parser.init();
  const parser = new treeSitter.Parser();
  parser.setLanguage(await treeSitter.Language.load(join(grammarFolder, `tree-sitter-${language}.wasm`)));
  return parser;
}
