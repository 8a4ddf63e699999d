import type { Parser, Tree } from "@vscode/tree-sitter-wasm";
import type { Language } from "../dead-code.ts";
import { CodeLines } from "./code-lines.ts";
import { removeComments } from "./remove-comments.ts";
import { UnusableCodeError } from "./unusable-code.ts";

/** What a row says about a function. */
export interface Extraction {
  /** Tokens without comments: leaves of the syntax tree, strings of Python whole. */
  readonly codeTokens: readonly string[];
  /** The token before the first `(`: also where that is a macro's, an annotation's or a decorator's. */
  readonly funcName: string;
  /** Identifiers in tree order, with repeats; some may be no code token. */
  readonly variables: readonly string[];
  /** True where the tree has errors: tree-sitter goes on behind them, and so does the published code. */
  readonly hasSyntaxErrors: boolean;
}

/** Nodes whose identifiers are variables, as the published code has it. */
const variableParents: Readonly<Record<Language, ReadonlySet<string>>> = {
  cpp: new Set([
    "function_declarator",
    "pointer_declarator",
    "declaration",
    "binary_expression",
    "case_statement",
    "field_expression",
  ]),
  java: new Set(["variable_declarator"]),
  python: new Set(["assignment"]),
};

/**
 * Tokens, name and variables of a function, as the published `extract_token` gives them.
 *
 * Where code has syntax errors, the tree differs now and then from the published code's: in 18 of Devign's 2,732 functions because tree-sitter
 * weighs the text that it skips over by its bytes, and its WASM build reads UTF-16; in 4 more because the C++ grammar here is a newer one.
 *
 * @throws UnusableCodeError where the published code raises: no parenthesis, half a surrogate pair, or what Python's `tokenize` refuses
 */
export function extractTokens(code: string, language: Language, parser: Parser): Extraction {
  const source = removeComments(code, language);
  if (/\p{Surrogate}/u.test(source)) throw new UnusableCodeError("a half surrogate pair, which is no text");
  const tree = parser.parse(source);
  if (!tree) throw new Error("tree-sitter gave no tree");
  try {
    const { tokens, variables } = leavesOf(tree, new CodeLines(source), variableParents[language]);
    const codeTokens = tokens.filter((token) => token !== "");
    const bracket = codeTokens.indexOf("(");
    if (bracket === -1) throw new UnusableCodeError("no parenthesis, so no function name");
    // Python's [-1]: with nothing before the bracket it is the last token.
    const funcName = codeTokens.at(bracket - 1)!;
    return { codeTokens, funcName, variables, hasSyntaxErrors: tree.rootNode.hasError };
  } finally {
    tree.delete();
  }
}

function leavesOf(
  tree: Tree,
  lines: CodeLines,
  parentsOfVariables: ReadonlySet<string>,
): { tokens: string[]; variables: string[] } {
  const tokens: string[] = [];
  const variables: string[] = [];
  const parents: string[] = [];
  const cursor = tree.walk();
  try {
    for (;;) {
      const type = cursor.nodeType;
      if (type !== "string" && cursor.gotoFirstChild()) {
        parents.push(type);
        continue;
      }
      if (type !== "comment") {
        const token = lines.cut(cursor.startPosition, cursor.endPosition);
        tokens.push(token);
        const isVariable = type === "identifier" && parentsOfVariables.has(parents.at(-1) ?? "");
        if (isVariable && token !== type) variables.push(token);
      }
      while (!cursor.gotoNextSibling()) {
        if (!cursor.gotoParent()) return { tokens, variables };
        parents.pop();
      }
    }
  } finally {
    cursor.delete();
  }
}
