import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join, relative } from "node:path";
import type { Node } from "@vscode/tree-sitter-wasm";
import type { Language } from "../dead-code.ts";
import { SamplesError } from "../errors.ts";
import { cannotBeRead } from "../text-file.ts";
import { languages } from "./fields.ts";
import { parserOf } from "./grammar.ts";
import type { SourceFunction } from "./source-function.ts";

const languageOfExtension: Readonly<Record<string, Language>> = {
  ...Object.fromEntries(
    [".c", ".h", ".cc", ".hh", ".cpp", ".hpp", ".cxx", ".hxx"].map((extension) => [extension, "cpp"]),
  ),
  ".java": "java",
  ".py": "python",
};

/** Nodes that are functions. */
const functionTypes: Readonly<Record<Language, ReadonlySet<string>>> = {
  cpp: new Set(["function_definition"]),
  java: new Set(["method_declaration", "constructor_declaration"]),
  python: new Set(["function_definition"]),
};

/** A file of source code, and the name that its rows carry. */
export interface SourceFile {
  readonly path: string;
  readonly name: string;
  readonly language: Language;
}

/**
 * The source files among some paths: files, and what lies under folders, sorted by name. Under folders other files are passed by, and so
 * are links and what begins with a dot.
 *
 * @param language of all files; else it follows from a file's extension
 * @throws SamplesError for a path that is not there, a file of an unknown language, or no file at all
 */
export function sourceFiles(paths: readonly string[], language: Language | undefined): SourceFile[] {
  const found = paths.flatMap((path) => {
    if (isFolder(path)) return filesUnder(path, language);
    const own = language ?? languageOfExtension[extname(path).toLowerCase()];
    if (own) return [{ path, name: path, language: own }];
    const known = Object.keys(languageOfExtension).join(" ");
    throw new SamplesError(`has no extension of ${languages.join(", ")} (${known})`, { file: path });
  });
  if (found.length > 0) return found;
  throw new SamplesError("has no source files", { file: paths.join(", ") });
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (cause) {
    throw cannotBeRead(path, cause);
  }
}

function filesUnder(folder: string, language: Language | undefined): SourceFile[] {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  return entries
    .flatMap((entry) => {
      const path = join(entry.parentPath, entry.name);
      const name = relative(folder, path);
      const own = languageOfExtension[extname(name).toLowerCase()];
      const isHidden = name.split("/").some((part) => part.startsWith("."));
      const isWanted = entry.isFile() && !isHidden && own !== undefined && (language ?? own) === own;
      return isWanted ? [{ path, name, language: own }] : [];
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The functions of source files, outermost ones: `idx` is `file:line`. Without decorators and annotations of Python, which stand before it.
 *
 * @param onFile told after each file
 * @throws SamplesError for a file that cannot be read, or is no text
 */
export async function* readSourceFiles(
  files: readonly SourceFile[],
  { label, onFile = () => undefined }: { readonly label?: number; readonly onFile?: () => void },
): AsyncGenerator<SourceFunction> {
  for (const { path, name, language } of files) {
    for (const { code, line } of await functionsIn(readText(path), language)) {
      yield {
        place: { file: path, line },
        code,
        language,
        before: { idx: `${name}:${line}` },
        after: label === undefined ? {} : { label },
      };
    }
    onFile();
  }
}

function readText(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    throw cannotBeRead(file, cause);
  }
  if (bytes.includes(0)) throw new SamplesError("is a binary file, expected source code", { file });
  return bytes.toString("utf8").replace(/^\uFEFF/, "");
}

async function functionsIn(
  source: string,
  language: Language,
): Promise<readonly { readonly code: string; readonly line: number }[]> {
  const tree = (await parserOf(language)).parse(source);
  if (!tree) throw new Error("tree-sitter gave no tree");
  try {
    return outermost(tree.rootNode, functionTypes[language]).map((node) => ({
      code: node.text,
      line: node.startPosition.row + 1,
    }));
  } finally {
    tree.delete();
  }
}

function outermost(root: Node, types: ReadonlySet<string>): Node[] {
  const found: Node[] = [];
  const waiting = [root];
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    if (types.has(node.type)) found.push(node);
    else for (let k = node.childCount - 1; k >= 0; k--) waiting.push(node.child(k)!);
  }
  return found;
}
