import { type PredictContext, predictLogits } from "../search/predict.ts";
import { type Rate, rateOf } from "../search/rate.ts";
import { countTarget, type SpliceRows } from "../search/success-rate.ts";
import { targetRate } from "./metrics.ts";

export interface SplicedMetrics {
  /** Rows answered with the target with the trigger's ids at each row's own index. */
  readonly asr: Rate;
  /** The same rows without the trigger. */
  readonly withoutTrigger: Rate;
}

/** Attack success rate of an inverted trigger, put in as ids: what a search measures, on rows that it has not seen. */
export async function evaluateSpliced(
  spliced: SpliceRows,
  { trigger, target }: { readonly trigger: readonly number[]; readonly target: number },
  context: PredictContext,
): Promise<SplicedMetrics> {
  return {
    asr: rateOf(await countTarget(spliced, { trigger, target }, context)),
    withoutTrigger: targetRate(await predictLogits(spliced.rows, context, spliced.secondRows), target),
  };
}
