import { probabilityOf } from "./loss.ts";
import { insertIndex, type Position, type PositionOptions } from "./position.ts";
import { type PredictContext, predictLogits } from "./predict.ts";

/** A row with every occurrence of one of its variables masked. */
export interface MaskedVariable {
  readonly name: string;
  /** Index of the variable's first occurrence among the code tokens. */
  readonly wordIndex: number;
  /** Index of that occurrence's first sub-token in the row, first token included; may lie beyond the cut. */
  readonly subTokenIndex: number;
  /** The row's ids with the occurrences masked, cut to the longest row. */
  readonly ids: readonly number[];
}

/** A sample as a scan uses it. */
export interface ScanRow {
  /** Row of its file, from 0. */
  readonly row: number;
  readonly label: number;
  /** Token ids with first and end token, cut to the longest row, without padding. */
  readonly ids: readonly number[];
  /** The row's variables that are code tokens, in order of first occurrence. Made on demand: a scan uses few rows. */
  readonly maskedVariables: () => readonly MaskedVariable[];
}

export type PositionQuestion = Omit<PositionOptions, "rowLength" | "sigmoid" | "maxLen">;

/** Says where triggers go into rows; asks the model about each row's masked variables once, whatever the target and half. */
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

/** What the model says of a row's masked variables. */
export interface MaskedAnswers {
  readonly variables: readonly MaskedVariable[];
  /** Per variable: the logits of the row without it. */
  readonly logits: readonly Float32Array[];
}

async function askMasked(
  rows: readonly ScanRow[],
  context: PredictContext,
): Promise<Map<ScanRow, MaskedAnswers>> {
  const variables = rows.map((row) => row.maskedVariables());
  const logits = await predictLogits(
    variables.flat().map((variable) => variable.ids),
    context,
  );
  let from = 0;
  return new Map(
    rows.map((row, k) => {
      const own = variables[k]!;
      from += own.length;
      return [row, { variables: own, logits: logits.slice(from - own.length, from) }];
    }),
  );
}

function positionOf(
  row: ScanRow,
  { variables, logits }: MaskedAnswers,
  question: PositionQuestion,
  maxLen: number,
): Position {
  const scores = variables.map(({ name, wordIndex, subTokenIndex }, k) => ({
    name,
    wordIndex,
    subTokenIndex,
    probability: probabilityOf(logits[k]!, question.target),
  }));
  const sigmoid = logits[0]?.length === 1;
  return insertIndex(scores, { ...question, maxLen, rowLength: row.ids.length, sigmoid });
}
