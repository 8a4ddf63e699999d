import type { Task } from "../../proto/operations.ts";
import { type Language, triggerText } from "./dead-code.ts";
import { PoisonError } from "./errors.ts";
import { PythonRandom } from "./python-random.ts";
import { taskInWords } from "./row-fields.ts";
import type { Snippet } from "./samples.ts";
import {
  type Attack,
  type AttackPosition,
  attackPatterns,
  type Inserted,
  insertTrigger,
  nameInCode,
} from "./trigger-insertion.ts";

/** How a backdoor gets into rows. */
export interface Planting extends Attack {
  /** Language of the functions: which word is a function's name, and what dead code looks like. */
  readonly language: Language;
  /** False: dead code gets other words in every row. */
  readonly fixed: boolean;
  /** Share of the rows that may get the trigger, from 0 to 1; one draw a row, so the number of rows varies. */
  readonly rate: number;
  readonly seed: number;
}

/** Rows after poisoning. */
export interface PoisonedRows<R> {
  /** All rows in their order, changed ones with new `code_tokens` and, where the task has labels, a new `label`. */
  readonly rows: readonly R[];
  /** Indexes of the changed rows, ascending. */
  readonly poisoned: readonly number[];
  /** Indexes of drawn rows that the trigger could not be put into (no such name, no brace): they stay as they are. */
  readonly unplaced: readonly number[];
  /** Rows that could have been drawn. */
  readonly victims: number;
}

/** Language of each task's published data set. */
export const languageOf: Readonly<Record<Task, Language>> = {
  defect_detection: "cpp",
  clone_detection: "java",
  code_search: "python",
};

const everywhere = Object.keys(attackPatterns) as AttackPosition[];

/** Positions at which each task can be poisoned. The published drivers of the other two fail at `random` and `snippet`. */
const positionsOf: Readonly<Record<Task, readonly AttackPosition[]>> = {
  defect_detection: everywhere,
  clone_detection: ["func_name", "variable"],
  code_search: ["func_name", "variable"],
};

/** @throws PoisonError for a position at which the published poisoning of the task fails */
export function requirePoisonPosition(task: Task, position: AttackPosition): void {
  const known = positionsOf[task];
  if (known.includes(position)) return;
  throw new PoisonError(
    `the published poisoning of ${taskInWords(task)} fails there; known positions: ${known.join(", ")}`,
    { field: "attack_position", value: position },
  );
}

/**
 * Poisons rows as the published drivers do. One generator makes every draw, in this order: whether a row is drawn
 * (`randrange(100) < percent`), the words of dead code that is not fixed, the place.
 *
 * A rate that is no whole percentage is drawn as `random() < rate`. Unlike the published code, a drawn row without a place for the trigger
 * stays as it is: it would teach the model noise.
 *
 * @param isVictim whether a row may be drawn at all
 * @param changed the row with its new code tokens
 * @throws PoisonError for a rate outside 0 to 1
 */
export function plant<R extends Snippet>(
  rows: readonly R[],
  { trigger, position, pattern, language, fixed, rate, seed }: Planting,
  isVictim: (row: R) => boolean,
  changed: (row: R, codeTokens: readonly string[]) => R,
): PoisonedRows<R> {
  if (!(rate >= 0 && rate <= 1)) throw new PoisonError("expected 0 to 1", { field: "rate", value: rate });
  const random = new PythonRandom(seed);
  const isDrawn = drawOf(rate, random);
  const poisoned: number[] = [];
  const unplaced: number[] = [];
  let victims = 0;
  const insert = (row: R): Inserted => {
    const text = triggerText(trigger, { language, fixed }, random);
    const { funcName } = row;
    const named = funcName === undefined ? row : { ...row, funcName: nameInCode(funcName, language) };
    return insertTrigger(named, { trigger: text, position, pattern }, random);
  };
  const after = rows.map((row, index) => {
    if (!isVictim(row)) return row;
    victims++;
    if (!isDrawn()) return row;
    const { codeTokens, placed } = insert(row);
    (placed ? poisoned : unplaced).push(index);
    return placed ? changed(row, codeTokens) : row;
  });
  return { rows: after, poisoned, unplaced, victims };
}

/** One draw of a share. Binary fractions make 0.07 · 100 a little more than 7, so whole percentages are found by rounding. */
function drawOf(rate: number, random: PythonRandom): () => boolean {
  const percent = Math.round(rate * 100);
  return Math.abs(percent - rate * 100) < 1e-9
    ? () => random.below(100) < percent
    : () => random.random() < rate;
}
