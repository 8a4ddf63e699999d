import { InputError } from "./errors.ts";

const MAX_CHARACTERS = 1_000;
/** `*`, `?`, a set or a choice in one name of a path: matching takes time that grows with their power. */
const MAX_WILDCARDS_OF_A_NAME = 3;
/** Names of a path that are patterns: each of them is a folder's whole list. */
const MAX_PATTERNS_OF_A_PATH = 4;

/**
 * Refuses a pattern that could keep the coordinator busy for longer than any list of models: many wildcards in one name, or a walk through all that is below a folder.
 *
 * @param place names it, for errors @throws InputError
 */
export function requireBoundedGlob(place: string, pattern: string): void {
  const refuse = (problem: string): never => {
    throw new InputError(`${place}: ${pattern.slice(0, 100)}: ${problem}`);
  };
  if (pattern.length > MAX_CHARACTERS) refuse(`a pattern has at most ${MAX_CHARACTERS} characters`);
  if (pattern.includes("**")) refuse("'**' would look through everything below it; name the levels: */*");
  if (/[@!+*?]\(/.test(pattern)) refuse("patterns are made of *, ?, [sets] and {one,another}");
  const names = pattern.split("/");
  const wild = names.filter((name) => /[*?[{]/.test(name));
  if (wild.length > MAX_PATTERNS_OF_A_PATH)
    refuse(`at most ${MAX_PATTERNS_OF_A_PATH} folders of a path may be patterns`);
  for (const name of wild)
    if ((name.match(/[*?[]+|\{/g)?.length ?? 0) > MAX_WILDCARDS_OF_A_NAME)
      refuse(`'${name.slice(0, 100)}' has more than ${MAX_WILDCARDS_OF_A_NAME} wildcards`);
}
