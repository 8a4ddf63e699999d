import { labelCount, predictedLabel } from "../search/loss.ts";
import { type Rate, rateOf } from "../search/rate.ts";

/** How well a classifier does on rows with labels. */
export interface CleanMetrics {
  /** Rows answered with their own label. */
  readonly acc: Rate;
  /** For each label: its rows that are answered with it. */
  readonly recall: readonly Rate[];
}

/**
 * @param logits one list a row, as the model gives them
 * @param labels the row's true label, below the number of labels that the head tells apart
 */
export function cleanMetrics(logits: readonly ArrayLike<number>[], labels: readonly number[]): CleanMetrics {
  const answers = logits.map(predictedLabel);
  const classes = labelCount(logits[0]?.length ?? 1);
  const right = (rows: readonly number[]): Rate =>
    rateOf({ hits: rows.filter((row) => answers[row] === labels[row]).length, n: rows.length });
  const rowsOf = (label: number): number[] => [...labels.keys()].filter((row) => labels[row] === label);
  return {
    acc: right([...labels.keys()]),
    recall: Array.from({ length: classes }, (_, label) => right(rowsOf(label))),
  };
}

/** How well a model finds the rows of label 1 (clones), as the reference measures it. A share of no rows counts as 0. */
export interface F1 {
  readonly f1: number;
  readonly precision: number;
  readonly recall: number;
  /** Rows of label 1 answered with 1, of label 0 with 1, of label 1 with 0, of label 0 with 0. */
  readonly confusion: { readonly tp: number; readonly fp: number; readonly fn: number; readonly tn: number };
}

/** F1 of label 1 from logits and true labels of a model with two labels. */
export function f1Of(logits: readonly ArrayLike<number>[], labels: readonly number[]): F1 {
  const count = (answer: number, label: number): number =>
    logits.filter((row, k) => predictedLabel(row) === answer && labels[k] === label).length;
  const [tp, fp, fn, tn] = [count(1, 1), count(1, 0), count(0, 1), count(0, 0)];
  const share = (hits: number, n: number): number => (n === 0 ? 0 : hits / n);
  return {
    f1: share(2 * tp, 2 * tp + fp + fn),
    precision: share(tp, tp + fp),
    recall: share(tp, tp + fn),
    confusion: { tp, fp, fn, tn },
  };
}

/** Rows answered with `target`: with a trigger in them the attack success rate (ASR), rows answered so anyway included. */
export function targetRate(logits: readonly ArrayLike<number>[], target: number): Rate {
  const hits = logits.filter((row) => predictedLabel(row) === target).length;
  return rateOf({ hits, n: logits.length });
}
