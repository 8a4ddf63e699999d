import type { MaskedVariant } from "../data/positions.ts";
import { probabilityOf } from "./loss.ts";
import { insertIndex, type Position, type PositionOptions } from "./position.ts";
import { type PredictContext, predictLogits } from "./predict.ts";

/** A sample as a scan uses it. */
export interface ScanRow {
  /** Row of its file, from 0. */
  readonly row: number;
  readonly label: number;
  /** Token ids with first and end token, cut to the longest row, without padding. */
  readonly ids: readonly number[];
  /** Clone detection: the second snippet in the same form. Triggers go into the first alone. */
  readonly secondIds?: readonly number[];
  /** The row's variables that are code tokens, in order of first occurrence. Made on demand: a scan uses few rows. */
  readonly maskedVariants: () => readonly MaskedVariant[];
}

export type PositionQuestion = Omit<PositionOptions, "rowLength" | "sigmoid" | "maxLen" | "target"> & {
  readonly target: number;
};

/** Second snippets of all rows, or undefined where the task has none. */
export const secondRowsOf = (
  rows: readonly Pick<ScanRow, "secondIds">[],
): (readonly number[])[] | undefined =>
  rows[0]?.secondIds === undefined ? undefined : rows.map(({ secondIds }) => secondIds!);

/** Says where triggers go into rows; asks the model about each row's masked variants once, whatever the target and half. */
export interface PositionFinder {
  find(rows: readonly ScanRow[], question: PositionQuestion): Promise<Position[]>;
}

/** `known` may be shared with other finders for the same model. */
export function createPositionFinder(
  context: PredictContext,
  known: Map<ScanRow, MaskedAnswers> = new Map(),
): PositionFinder {
  return {
    async find(rows, question) {
      const open = rows.filter((row) => !known.has(row));
      for (const [row, answers] of await askMasked(open, context)) known.set(row, answers);
      return rows.map((row) => positionOf(row, known.get(row)!, question, context.maxLen));
    },
  };
}

/** What the model says of a row's masked variants. */
export interface MaskedAnswers {
  readonly variants: readonly MaskedVariant[];
  /** Per variable: the logits of the row without it. */
  readonly logits: readonly Float32Array[];
}

async function askMasked(
  rows: readonly ScanRow[],
  context: PredictContext,
): Promise<Map<ScanRow, MaskedAnswers>> {
  const variants = rows.map((row) => row.maskedVariants());
  const logits = await predictLogits(
    variants.flat().map(({ ids }) => ids),
    context,
    secondRowsOf(rows.flatMap(({ secondIds }, k) => variants[k]!.map(() => ({ secondIds })))),
  );
  let from = 0;
  return new Map(
    rows.map((row, k) => {
      const own = variants[k]!;
      from += own.length;
      return [row, { variants: own, logits: logits.slice(from - own.length, from) }];
    }),
  );
}

function positionOf(
  row: ScanRow,
  { variants, logits }: MaskedAnswers,
  question: PositionQuestion,
  maxLen: number,
): Position {
  const scores = variants.map(({ name, word, subToken }, k) => ({
    name,
    word,
    subToken,
    score: probabilityOf(logits[k]!, question.target),
  }));
  const sigmoid = logits[0]?.length === 1;
  return insertIndex(scores, { ...question, maxLen, rowLength: row.ids.length, sigmoid });
}
