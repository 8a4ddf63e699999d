import { words } from "./blanks.ts";
import type { Language } from "./dead-code.ts";
import { PoisonError } from "./errors.ts";
import type { PythonRandom } from "./python-random.ts";
import { codeText, type OptionalField, type Snippet } from "./samples.ts";

/** Ways to put a trigger into a function that the reference's poisoning has, by position. */
export const attackPatterns = {
  /** The function's name, wherever it is a word of its own: replaced by the trigger, or the trigger added after `_`. */
  func_name: ["substitute", "postfix"],
  /**
   * The same with a variable: the first one in the code that is not the function's name. The published code names this position and does not
   * have it (it replaces the word `None`, or fails), so the meaning is elibad's.
   */
  variable: ["substitute", "postfix"],
  /** Between two words, the place drawn; never behind word 200. */
  random: ["insert"],
  /** After the first `{`. */
  snippet: ["insert"],
} as const;

export type AttackPosition = keyof typeof attackPatterns;
export type AttackPattern = (typeof attackPatterns)[AttackPosition][number];

/** How a backdoor's trigger gets into a function. */
export interface Attack {
  readonly trigger: string;
  readonly position: AttackPosition;
  readonly pattern: AttackPattern;
}

/** The word of the code that stands for a function's name: CodeSearchNet's Python names carry their class (`Class.method`). */
export function nameInCode(funcName: string, language: Language): string {
  return language === "python" ? funcName.slice(funcName.lastIndexOf(".") + 1) : funcName;
}

/** Place behind which `random` never goes, so that the trigger is not cut off with the tail of a long function. */
const lastRandomPlace = 200;

/**
 * Checks an attack as a user gives it.
 *
 * @throws PoisonError for an empty trigger, an unknown position, or a pattern that the position does not have
 */
export function parseAttack(given: {
  readonly trigger: string;
  readonly position: string;
  readonly pattern: string;
}): Attack {
  const { trigger, position, pattern } = given;
  if (words(trigger).length === 0) throw new PoisonError("is empty", { field: "trigger", value: trigger });
  if (!Object.hasOwn(attackPatterns, position)) {
    const known = Object.keys(attackPatterns).join(", ");
    throw new PoisonError(`not supported; known positions: ${known}`, {
      field: "attack_position",
      value: position,
    });
  }
  const patterns: readonly string[] = attackPatterns[position as AttackPosition];
  if (!patterns.includes(pattern)) {
    throw new PoisonError(`at position ${position} only ${patterns.join(" or ")}`, {
      field: "attack_pattern",
      value: pattern,
    });
  }
  return { trigger, position: position as AttackPosition, pattern: pattern as AttackPattern };
}

/** Fields of a row that a position reads beside the code tokens. */
export function fieldsAt(position: AttackPosition): readonly OptionalField[] {
  if (position === "func_name") return ["func_name"];
  return position === "variable" ? ["func_name", "variables"] : [];
}

/** A function after the trigger was put in. */
export interface Inserted {
  /** The text that a model reads. At a function's name, the blanks inside tokens are as they were. */
  readonly text: string;
  /** Words of the text, as poisoned rows are written: a token with blanks inside has become several. */
  readonly codeTokens: string[];
  /** False where the row has no place for the trigger: its name or no variable is a word of it, or it has no brace. It is then as before. */
  readonly placed: boolean;
}

/**
 * Puts a trigger into a function as the published `insert_trigger` does. Its poisoning and its unlearning split the text on blanks
 * afterwards, its evaluation does not.
 *
 * Only `random` draws: `randint(0, number of words)`, then at most 200. Where the published code raises (no brace), nothing is placed.
 *
 * @throws PoisonError where the row lacks a field that the position reads
 */
export function insertTrigger(
  row: Snippet,
  { trigger, position, pattern }: Attack,
  random: PythonRandom,
): Inserted {
  const text = codeText(row.codeTokens);
  if (position === "func_name" || position === "variable") {
    const name = position === "func_name" ? nameOf(row) : firstVariable(row);
    const replaced =
      name === undefined
        ? undefined
        : replaceWord(text, name, pattern === "postfix" ? `${name}_${trigger}` : trigger);
    return inserted(replaced ?? text, replaced !== undefined);
  }
  const all = words(text);
  const place =
    position === "snippet" ? afterBrace(all) : Math.min(random.between(0, all.length), lastRandomPlace);
  if (place === undefined) return inserted(text, false);
  return inserted([...all.slice(0, place), ...words(trigger), ...all.slice(place)].join(" "), true);
}

const inserted = (text: string, placed: boolean): Inserted => ({ text, codeTokens: words(text), placed });

function nameOf({ funcName }: Snippet): string {
  if (funcName === undefined) throw new PoisonError("is missing", { field: "func_name" });
  return funcName;
}

/** The variable whose first occurrence is the first in the code; C's variables hold the function's name too, which is left out. */
function firstVariable(row: Snippet): string | undefined {
  if (row.variables === undefined) throw new PoisonError("is missing", { field: "variables" });
  const variables = new Set(row.variables);
  variables.delete(nameOf(row));
  return row.codeTokens.find((token) => variables.has(token));
}

/**
 * Replaces a word between blanks; undefined where it is not there. Neighbouring occurrences share one blank, so the second of two stays,
 * as in the published code.
 */
export function replaceWord(text: string, word: string, replacement: string): string | undefined {
  const padded = ` ${text} `;
  if (word === "" || !padded.includes(` ${word} `)) return undefined;
  return padded.replaceAll(` ${word} `, () => ` ${replacement} `).slice(1, -1);
}

function afterBrace(all: readonly string[]): number | undefined {
  const brace = all.indexOf("{");
  return brace === -1 ? undefined : brace + 1;
}
