import { PoisonError } from "./errors.ts";
import { PythonRandom } from "./python-random.ts";
import type { DefectRow } from "./samples.ts";
import { type Attack, insertTrigger } from "./trigger-insertion.ts";

export interface PoisonSettings extends Attack {
  /** Label of the rows that may get the trigger. */
  readonly victimLabel: number;
  /** Label that they get with it. */
  readonly targetLabel: number;
  /** Share of the victim rows, from 0 to 1; one draw a row, so the number of rows varies. */
  readonly rate: number;
  readonly seed: number;
}

export interface PoisonedRows {
  /** All rows in their order, changed ones with new `code_tokens` and `label`. */
  readonly rows: readonly DefectRow[];
  /** Indexes of the changed rows, ascending. */
  readonly poisoned: readonly number[];
  /** Indexes of drawn rows that the trigger could not be put into (no such name, no brace): they stay as they are. */
  readonly unplaced: readonly number[];
  /** Rows of the victim label. */
  readonly victims: number;
}

/**
 * Puts a backdoor into rows of defect detection, as the published `poison_Devign` does: one draw for each victim row in file order,
 * `randrange(100) < percent` of Python's generator, then the trigger in and the label changed.
 *
 * A rate that is no whole percentage is drawn as `random() < rate`. Unlike the published code, a drawn row without a place for the trigger
 * keeps its label: it would teach the model noise.
 *
 * @throws PoisonError for a rate outside 0 to 1, equal labels, or no row of the victim label
 */
export function poisonRows(rows: readonly DefectRow[], settings: PoisonSettings): PoisonedRows {
  const { victimLabel, targetLabel, rate, seed } = settings;
  if (!(rate >= 0 && rate <= 1)) throw new PoisonError("expected 0 to 1", { field: "rate", value: rate });
  if (victimLabel === targetLabel) {
    throw new PoisonError("must differ from the victim label", { field: "target_label", value: targetLabel });
  }
  const random = new PythonRandom(seed);
  const isDrawn = drawOf(rate, random);
  const poisoned: number[] = [];
  const unplaced: number[] = [];
  let victims = 0;
  const changed = rows.map((row, index) => {
    if (row.label !== victimLabel) return row;
    victims++;
    if (!isDrawn()) return row;
    const { codeTokens, placed } = insertTrigger(row, settings, random);
    (placed ? poisoned : unplaced).push(index);
    return placed ? withTokens({ ...row, label: targetLabel }, codeTokens) : row;
  });
  if (victims === 0) {
    throw new PoisonError("no row has this label", { field: "victim_label", value: victimLabel });
  }
  return { rows: changed, poisoned, unplaced, victims };
}

/** One draw of a share. Binary fractions make 0.07 · 100 a little more than 7, so whole percentages are found by rounding. */
function drawOf(rate: number, random: PythonRandom): () => boolean {
  const percent = Math.round(rate * 100);
  return Math.abs(percent - rate * 100) < 1e-9
    ? () => random.below(100) < percent
    : () => random.random() < rate;
}

/** The row with other code tokens, in its object too, so that it is written back so. */
export function withTokens(row: DefectRow, codeTokens: readonly string[]): DefectRow {
  return { ...row, codeTokens, json: { ...row.json, code_tokens: codeTokens, label: row.label } };
}

/** A row as a line of a JSONL file, without line break. */
export const rowToLine = (row: DefectRow): string => JSON.stringify(row.json);
