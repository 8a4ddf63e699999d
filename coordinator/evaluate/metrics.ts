import { labelCount, predictedLabel } from "../search/loss.ts";
import { type Rate, rateOf } from "./rate.ts";

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

/** Rows answered with `target`: with a trigger in them the attack success rate (ASR), rows answered so anyway included. */
export function targetRate(logits: readonly ArrayLike<number>[], target: number): Rate {
  const hits = logits.filter((row) => predictedLabel(row) === target).length;
  return rateOf({ hits, n: logits.length });
}
