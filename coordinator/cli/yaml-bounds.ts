import { CST, Lexer } from "yaml";
import { MAX_SWEEP_FILE_BYTES } from "../../proto/message-bounds.ts";
import { InputError } from "./errors.ts";

/** A file of options, or a sweep of thousands of models, has fewer. */
const MAX_TOKENS = 150_000;
/** Lists and maps within one another. The library's reader calls itself for each: some thousands end the process. */
const MAX_DEPTH = 64;
/** Of anchors. What one is resolved to may hold further ones, and looking for one takes as long as there are nodes. */
const MAX_ALIASES = 100;

/**
 * Refuses YAML that would take the reader more time, memory or stack than any file of ours. It looks at tokens, which cost the same however they are nested.
 *
 * @throws InputError naming file and line
 */
export function requireBoundedYaml(file: string, text: string): void {
  if (text.length > MAX_SWEEP_FILE_BYTES)
    throw new InputError(`${file}: has ${text.length} characters, at most ${MAX_SWEEP_FILE_BYTES} are read`);
  const counts = { tokens: 0, aliases: 0, line: 1 };
  // Brackets that are open, and how far the line is indented, by blanks or by the signs of lists within lists.
  let open = 0;
  let indent = 0;
  let isAtStart = true;
  const refuse = (problem: string): never => {
    throw new InputError(`${file} line ${counts.line}: ${problem}`);
  };
  for (const token of new Lexer().lex(text)) {
    if (++counts.tokens > MAX_TOKENS) refuse(`more than ${MAX_TOKENS} words and signs`);
    switch (CST.tokenType(token)) {
      case "newline":
        [indent, isAtStart] = [0, true];
        break;
      case "space":
        if (isAtStart) indent += token.length;
        break;
      case "seq-item-ind":
      case "explicit-key-ind":
        indent++;
        break;
      case "flow-seq-start":
      case "flow-map-start":
        open++;
        break;
      case "flow-seq-end":
      case "flow-map-end":
        open--;
        break;
      case "alias":
        if (++counts.aliases > MAX_ALIASES) refuse(`more than ${MAX_ALIASES} aliases`);
        break;
      default:
        isAtStart = false;
    }
    // Every list or map in a block stands further to the right than the one around it, but for a list in a map.
    if (open > MAX_DEPTH || indent > 2 * MAX_DEPTH) refuse(`lists and maps more than ${MAX_DEPTH} deep`);
    counts.line += token.split("\n").length - 1;
  }
}
