import { stamp } from "../../proto/stamping.ts";
import { scoreOf } from "./match-loss.ts";
import type { PairContext } from "./pair-positions.ts";
import type { Pair, StampedRows } from "./pair-problem.ts";
import { encodeRows } from "./predict.ts";
import { byScore, middlePlace, newRank, scoresOf } from "./ranks.ts";
import type { SplicedRank } from "./scan-result.ts";

/** Rows that a pair goes into, without limits, which the context has. */
type Spliced = Pick<StampedRows, "rows" | "insertIndexes">;

/**
 * What a pair does on rows: every query, with the target in it, is searched in all codes; the code in the middle of its answers gets the trigger
 * and takes a new rank. The counterpart of a classifier's flip rate, in the form that the published evaluator gives ANR.
 */
export async function splicedRank(
  codes: Spliced,
  queries: Spliced,
  { trigger, target }: Pair,
  contexts: PairContext,
): Promise<SplicedRank> {
  const n = codes.rows.length;
  if (n === 0) return { anr: null, without_trigger: null, queries: 0, codes: 0 };
  const clean = await encodeRows(codes.rows, contexts.codes);
  const triggered = await encodeRows(
    codes.rows.map((row, k) => stamp(row, trigger, codes.insertIndexes[k]!, contexts.codes)),
    contexts.codes,
  );
  const asked = await encodeRows(
    queries.rows.map((row, k) => stamp(row, target, queries.insertIndexes[k]!, contexts.queries)),
    contexts.queries,
  );
  const place = middlePlace(n);
  let sum = 0;
  for (const query of asked) {
    const scores = scoresOf(query, clean);
    const chosen = byScore(scores)[place]!;
    sum += newRank(scores, chosen, scoreOf(query, triggered[chosen]!));
  }
  return { anr: sum / n / n, without_trigger: (place + 1) / n, queries: n, codes: n };
}
