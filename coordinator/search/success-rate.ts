import { stamp } from "../../proto/stamping.ts";
import type { Trigger } from "./candidates.ts";
import { predictedLabel } from "./loss.ts";
import { type PredictContext, predictLogits } from "./predict.ts";

/** How many of `n` rows the model answers with the target. */
export interface Hits {
  readonly hits: number;
  readonly n: number;
}

/** Rows, and where a trigger goes into each. */
export interface SpliceRows {
  /** Ids with first and end token, without padding. */
  readonly rows: readonly (readonly number[])[];
  /** Clone detection: second snippets, which triggers do not change. */
  readonly secondRows?: readonly (readonly number[])[] | undefined;
  /** Sub-token index of each row (DESIGN section 5.2). */
  readonly insertIndexes: readonly number[];
}

/** Rows answered with `target`, with the trigger at each row's own index; a trigger of no tokens leaves the rows as they are. */
export async function countTarget(
  { rows, secondRows, insertIndexes }: SpliceRows,
  { trigger, target }: { readonly trigger: Trigger; readonly target: number },
  context: PredictContext,
): Promise<Hits> {
  const asked =
    trigger.length === 0 ? rows : rows.map((row, k) => stamp(row, trigger, insertIndexes[k]!, context));
  const logits = await predictLogits(asked, context, secondRows);
  return { hits: logits.filter((row) => predictedLabel(row) === target).length, n: rows.length };
}
