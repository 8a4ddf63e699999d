import type { Executor } from "../../proto/operations.ts";
import { contrastiveLoss } from "../../worker/training/vector-loss.ts";
import { predictedLabel } from "../search/loss.ts";
import { encodeRows, type PredictContext, predictLogits } from "../search/predict.ts";
import { meanReciprocalRank, rankOf, scoresOf } from "../search/ranks.ts";
import { meanOf } from "./example.ts";
import type { PlannedStep } from "./planned-step.ts";
import { putSamples } from "./sample-artifact.ts";
import type { TrainingSamples } from "./trainer.ts";

type Rows = readonly (readonly number[])[];

/** Rows to train on: token ids with end tokens, without padding. */
export type TrainingRows =
  | {
      readonly kind: "labels";
      readonly rows: Rows;
      /** Clone detection: the second function of each row. */
      readonly secondRows?: Rows;
      readonly labels: readonly number[];
    }
  /** Code search: each code, and its query. */
  | { readonly kind: "pairs"; readonly codes: Rows; readonly queries: Rows };

/** How well a model does on rows that it is not trained on. */
export type ValidScore =
  /** Rows answered with their own label. */
  | { readonly right: number; readonly rows: number; readonly value: number }
  /** Mean reciprocal rank of each query's own code among all codes. */
  | { readonly mrr: number; readonly rows: number; readonly value: number };

export const rowCount = (rows: TrainingRows): number =>
  rows.kind === "labels" ? rows.rows.length : rows.codes.length;

/** The same rows with other ids. */
export function mapIds(
  rows: TrainingRows,
  change: (row: readonly number[]) => readonly number[],
): TrainingRows {
  if (rows.kind === "pairs")
    return { ...rows, codes: rows.codes.map(change), queries: rows.queries.map(change) };
  const { secondRows } = rows;
  return {
    ...rows,
    rows: rows.rows.map(change),
    ...(secondRows === undefined ? {} : { secondRows: secondRows.map(change) }),
  };
}

/** Gives rows to the executor; of code search all codes, then all queries. */
export function putTrainingRows(
  executor: Executor,
  rows: TrainingRows,
  { maxLen, endId }: { readonly maxLen: number; readonly endId: number },
): Promise<TrainingSamples> {
  if (rows.kind === "pairs") {
    return putSamples(executor, { rows: [...rows.codes, ...rows.queries], maxLen, endId });
  }
  const { secondRows } = rows;
  const second = secondRows === undefined ? {} : { secondRows };
  return putSamples(executor, { rows: rows.rows, ...second, maxLen, endId });
}

/** One optimiser step on some rows: cross-entropy with the labels, or of each query among the batch's codes. */
export function plannedStep(rows: TrainingRows, batch: readonly number[], learningRate: number): PlannedStep {
  if (rows.kind === "pairs") {
    const queries = batch.map((row) => rows.codes.length + row);
    return { kind: "vectors", rows: [...batch, ...queries], loss: contrastiveLoss, learningRate };
  }
  const { labels } = rows;
  const examples = batch.map((row) => ({ row, objective: { kind: "label", label: labels[row]! } as const }));
  return { kind: "rows", batch: meanOf(examples), learningRate };
}

/** Asks the model, with the weights that `context` names. */
export async function scoreValid(rows: TrainingRows, context: PredictContext): Promise<ValidScore> {
  if (rows.kind === "pairs") {
    const [codes, queries] = [await encodeRows(rows.codes, context), await encodeRows(rows.queries, context)];
    const mrr = meanReciprocalRank(queries.map((query, row) => rankOf(scoresOf(query, codes), row)));
    return { mrr, rows: codes.length, value: mrr };
  }
  const logits = await predictLogits(rows.rows, context, rows.secondRows);
  const right = logits.filter((row, k) => predictedLabel(row) === rows.labels[k]).length;
  return { right, rows: logits.length, value: right / Math.max(1, logits.length) };
}
