import type { PredictContext } from "../search/predict.ts";

/** How far a phase of an evaluation is. Rows that are equal count once. */
export interface EvaluationProgress {
  /** What is done with the rows: "rows", "codes with the trigger", … */
  readonly phase: string;
  readonly done: number;
  readonly total: number;
}

export type EvaluationListener = (progress: EvaluationProgress) => void;

/** What tells a listener, where there is one, of the answers of one phase. */
export const telling = (
  phase: string,
  listener: EvaluationListener | undefined,
): PredictContext["onAnswered"] => listener && ((done, total) => listener({ phase, done, total }));
