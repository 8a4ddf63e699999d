import { type PredictContext, predictLogits } from "../search/predict.ts";
import { countTarget } from "../search/success-rate.ts";
import { targetRate } from "./metrics.ts";
import { type Rate, rateOf } from "./rate.ts";

export interface SplicedMetrics {
  /** Rows answered with the target with the trigger's ids at each row's own index. */
  readonly asr: Rate;
  /** The same rows without the trigger. */
  readonly withoutTrigger: Rate;
}

/** Rows of one victim label, and where a trigger goes into each. */
export interface SpliceRows {
  /** Ids with first and end token, without padding. */
  readonly rows: readonly (readonly number[])[];
  /** Sub-token index of each row (DESIGN section 5.2). */
  readonly insertIndexes: readonly number[];
}

/** Attack success rate of an inverted trigger, put in as ids: what a search measures, on rows that it has not seen. */
export async function evaluateSpliced(
  { rows, insertIndexes }: SpliceRows,
  { trigger, target }: { readonly trigger: readonly number[]; readonly target: number },
  context: PredictContext,
): Promise<SplicedMetrics> {
  return {
    asr: rateOf(await countTarget(rows, insertIndexes, { trigger, target }, context)),
    withoutTrigger: targetRate(await predictLogits(rows, context), target),
  };
}
