import { PoisonError } from "./errors.ts";
import { PythonRandom } from "./python-random.ts";
import { codeText, type DefectRow } from "./samples.ts";
import { type Attack, insertTrigger } from "./trigger-insertion.ts";

export interface InjectionSettings extends Attack {
  /** Label of the rows that may get the trigger; they keep it. */
  readonly victimLabel: number;
  /** Share of them, from 0 to 1; one draw a row. */
  readonly rate: number;
  readonly seed: number;
}

export interface InjectedTexts {
  /** The text of every row, in order; the drawn ones with the trigger in it. */
  readonly texts: readonly string[];
  /** Indexes of the rows with the trigger in them, ascending. */
  readonly injected: readonly number[];
  /** Indexes of drawn rows that the trigger has no place in: they stay as they are. */
  readonly unplaced: readonly number[];
}

/**
 * Texts of the rows that unlearning trains on (paper section "trigger unlearning"): some victim rows carry the trigger and still have their
 * correct label, so that the model learns to ignore it. As in the published data set, a row with the trigger is split into words on the way.
 */
export function injectTrigger(rows: readonly DefectRow[], settings: InjectionSettings): InjectedTexts {
  const { victimLabel, rate, seed } = settings;
  const drawn = new Set(
    drawInjectedRows(
      rows.map(({ label }) => label),
      victimLabel,
      rate,
      seed,
    ),
  );
  // The place of a trigger at a random position has its own generator, so that which rows are drawn does not depend on it.
  const random = new PythonRandom(seed);
  const injected: number[] = [];
  const unplaced: number[] = [];
  const texts = rows.map((row, index) => {
    if (!drawn.has(index)) return codeText(row.codeTokens);
    const { codeTokens, placed } = insertTrigger(row, settings, random);
    (placed ? injected : unplaced).push(index);
    return codeText(placed ? codeTokens : row.codeTokens);
  });
  return { texts, injected, unplaced };
}

/**
 * Rows that the published unlearning injects a trigger into, ascending: for every row a draw among the inverse triggers, of which there
 * is one, and for victim rows then `random() < rate`.
 */
export function drawInjectedRows(
  labels: readonly number[],
  victimLabel: number,
  rate: number,
  seed: number,
): number[] {
  if (!(rate >= 0 && rate <= 1)) {
    throw new PoisonError("expected 0 to 1", { field: "injection_rate", value: rate });
  }
  const random = new PythonRandom(seed);
  return [...labels.keys()].filter((row) => {
    random.below(1); // the choice of one trigger out of one draws bits too
    return labels[row] === victimLabel && random.random() < rate;
  });
}
