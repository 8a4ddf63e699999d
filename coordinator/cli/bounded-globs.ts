import { InputError } from "./errors.ts";

const MAX_CHARACTERS = 1_000;
/** `*`, `?`, a set or a choice in one name of a path: matching takes time that grows with their power. */
const MAX_WILDCARDS_OF_A_NAME = 3;
/** Names of a path that are patterns: each of them is a folder's whole list. */
const MAX_PATTERNS_OF_A_PATH = 4;
/** Stars that are not the first one of their name. Matching may try every place for each of them, and what it tries for one name again for each try of the one before. */
const MAX_FURTHER_STARS = 2;
/** Ways to take one of each `{one,another}`: matching may try all of them, also where they are the same. */
const MAX_CHOICES = 64;

/**
 * Refuses a pattern that could keep the coordinator busy for longer than any list of models: many wildcards in one name, names that are tried in each other's many ways, or a walk through all that is
 * below a folder.
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
  const further = wild.reduce((sum, name) => sum + Math.max(0, name.split("*").length - 2), 0);
  if (further > MAX_FURTHER_STARS)
    refuse(
      `its names have ${further} further * beside the first one of each, at most ${MAX_FURTHER_STARS} are tried`,
    );
  if (choicesOf(pattern) > MAX_CHOICES)
    refuse(`{one,another} can be taken in more than ${MAX_CHOICES} ways; name models one by one`);
}

/** At most so many; fewer where one choice is within another. */
const choicesOf = (pattern: string): number =>
  pattern
    .split("{")
    .slice(1)
    .reduce((product, choice) => product * choice.split(",").length, 1);
