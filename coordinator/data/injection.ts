import type { CloneRow } from "./clone-rows.ts";
import { PoisonError } from "./errors.ts";
import { PythonRandom } from "./python-random.ts";
import { codeText, type DefectRow, type Snippet } from "./samples.ts";
import type { SearchRow } from "./search-rows.ts";
import { type Attack, insertTrigger, nameInCode } from "./trigger-insertion.ts";

/** Which rows get the trigger, and how. */
export interface InjectionSettings extends Attack {
  /** Share of the rows that may get it, from 0 to 1; one draw a row. */
  readonly rate: number;
  readonly seed: number;
}

/** The same where rows have labels: only those of one label may get the trigger. They keep the label. */
export interface LabelledInjection extends InjectionSettings {
  readonly victimLabel: number;
}

/** Texts that unlearning trains on, one for each row. */
export interface Injected<Text> {
  /** In the rows' order; the drawn ones with the trigger in them. */
  readonly texts: readonly Text[];
  /** Indexes of the rows with the trigger in them, ascending. */
  readonly injected: readonly number[];
  /** Indexes of drawn rows that the trigger has no place in: they stay as they are. */
  readonly unplaced: readonly number[];
}

/** Texts of the two functions of a pair. */
export interface PairText {
  readonly first: string;
  readonly second: string;
}

/**
 * Texts of the rows that unlearning trains on (paper section "trigger unlearning"): some victim rows carry the trigger and still have their
 * correct label, so that the model learns to ignore it. As in the published data set, a row with the trigger is split into words on the way.
 */
export function injectTrigger(rows: readonly DefectRow[], settings: LabelledInjection): Injected<string> {
  return inject(rows, victimsAmong(rows, settings), settings.seed, {
    clean: snippetText,
    triggered: (row, random) => textWith(row, settings, random),
  });
}

/** The same for pairs of functions: the trigger goes into one of the two, drawn for each pair. */
export function injectIntoPairs(rows: readonly CloneRow[], settings: LabelledInjection): Injected<PairText> {
  const clean = ({ first, second }: CloneRow): PairText => ({
    first: snippetText(first),
    second: snippetText(second),
  });
  return inject(rows, victimsAmong(rows, settings), settings.seed, {
    clean,
    triggered: (row, random) => {
      const side = random.below(2) === 0 ? "first" : "second";
      const text = textWith(row[side], settings, random);
      return text === undefined ? undefined : { ...clean(row), [side]: text };
    },
  });
}

/** The same for the functions of code search, of which any may get the trigger. Queries have no part in it. */
export function injectIntoSearch(rows: readonly SearchRow[], settings: InjectionSettings): Injected<string> {
  const drawn = drawRows(rows.length, () => true, settings.rate, settings.seed);
  return inject(rows, drawn, settings.seed, {
    clean: snippetText,
    triggered: ({ codeTokens, funcName, variables }, random) => {
      const name = funcName === undefined ? {} : { funcName: nameInCode(funcName, "python") };
      return textWith({ codeTokens, ...name, ...(variables && { variables }) }, settings, random);
    },
  });
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
  return drawRows(labels.length, (row) => labels[row] === victimLabel, rate, seed);
}

function drawRows(count: number, mayGet: (row: number) => boolean, rate: number, seed: number): number[] {
  if (!(rate >= 0 && rate <= 1)) {
    throw new PoisonError("expected 0 to 1", { field: "injection_rate", value: rate });
  }
  const random = new PythonRandom(seed);
  return [...new Array(count).keys()].filter((row) => {
    random.below(1); // the choice of one trigger out of one draws bits too
    return mayGet(row) && random.random() < rate;
  });
}

const victimsAmong = (
  rows: readonly { readonly label: number }[],
  { victimLabel, rate, seed }: LabelledInjection,
): number[] =>
  drawInjectedRows(
    rows.map(({ label }) => label),
    victimLabel,
    rate,
    seed,
  );

/** Texts of all rows. Places have their own generator, so that which rows are drawn does not depend on them. */
function inject<Row, Text>(
  rows: readonly Row[],
  drawnRows: readonly number[],
  seed: number,
  {
    clean,
    triggered,
  }: {
    readonly clean: (row: Row) => Text;
    /** Undefined where the trigger has no place in the row. */
    readonly triggered: (row: Row, random: PythonRandom) => Text | undefined;
  },
): Injected<Text> {
  const drawn = new Set(drawnRows);
  const random = new PythonRandom(seed);
  const injected: number[] = [];
  const unplaced: number[] = [];
  const texts = rows.map((row, index) => {
    if (!drawn.has(index)) return clean(row);
    const text = triggered(row, random);
    (text === undefined ? unplaced : injected).push(index);
    return text ?? clean(row);
  });
  return { texts, injected, unplaced };
}

const snippetText = ({ codeTokens }: Pick<Snippet, "codeTokens">): string => codeText(codeTokens);

function textWith(row: Snippet, attack: Attack, random: PythonRandom): string | undefined {
  const { codeTokens, placed } = insertTrigger(row, attack, random);
  return placed ? codeText(codeTokens) : undefined;
}
