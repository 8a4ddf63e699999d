import { stamp } from "../../proto/stamping.ts";
import type { Trigger } from "./candidates.ts";
import { predictedLabel } from "./loss.ts";
import { type PredictContext, predictLogits } from "./predict.ts";

/** How many of `n` rows the model answers with the target. */
export interface Hits {
  readonly hits: number;
  readonly n: number;
}

/** Rows answered with `target`, with the trigger at each row's own index; a trigger of no tokens leaves the rows as they are. */
export async function countTarget(
  rows: readonly (readonly number[])[],
  insertIndexes: readonly number[],
  { trigger, target }: { readonly trigger: Trigger; readonly target: number },
  context: PredictContext,
): Promise<Hits> {
  const asked =
    trigger.length === 0 ? rows : rows.map((row, k) => stamp(row, trigger, insertIndexes[k]!, context));
  const logits = await predictLogits(asked, context);
  return { hits: logits.filter((row) => predictedLabel(row) === target).length, n: rows.length };
}
