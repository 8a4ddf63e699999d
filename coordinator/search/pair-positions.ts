import type { MaskedVariant } from "../data/positions.ts";
import { scoreOf } from "./match-loss.ts";
import { insertIndex, type MaskedScore, type Position, type PositionOptions } from "./position.ts";
import type { ScanRow } from "./positions.ts";
import { encodeRows, type PredictContext } from "./predict.ts";

/** A row of code search as a scan uses it. `maskedVariants` are of the code. */
export interface PairRow extends Omit<ScanRow, "label" | "secondIds"> {
  /** Token ids of the query with first and end token, cut to the longest query, without padding. */
  readonly queryIds: readonly number[];
}

export type PairPositionQuestion = Pick<PositionOptions, "half" | "triggerLen">;

/** Contexts of the two kinds of rows, which differ in the longest row. */
export interface PairContext {
  readonly codes: PredictContext;
  readonly queries: PredictContext;
}

/**
 * Where the trigger goes into each code: masking the variable there leaves the lowest score against the row's own query. The model is
 * asked once about each row; `known` may be shared by questions to the same model.
 */
export async function findPairPositions(
  rows: readonly PairRow[],
  question: PairPositionQuestion,
  { codes, queries }: PairContext,
  known: Map<PairRow, readonly MaskedScore[]>,
): Promise<Position[]> {
  const open = rows.filter((row) => !known.has(row));
  const variants = open.map((row) => row.maskedVariants());
  const masked = await encodeRows(
    variants.flat().map(({ ids }) => ids),
    codes,
  );
  const asked = await encodeRows(
    open.map(({ queryIds }) => queryIds),
    queries,
  );
  let from = 0;
  for (const [k, row] of open.entries()) {
    const own = variants[k]!;
    known.set(row, scored(own, asked[k]!, masked.slice(from, from + own.length)));
    from += own.length;
  }
  return rows.map((row) =>
    insertIndex(known.get(row)!, {
      ...question,
      rule: "lowest",
      maxLen: codes.maxLen,
      rowLength: row.ids.length,
    }),
  );
}

const scored = (
  variants: readonly MaskedVariant[],
  query: Float32Array,
  codes: readonly Float32Array[],
): MaskedScore[] =>
  variants.map(({ name, word, subToken }, k) => ({ name, word, subToken, score: scoreOf(query, codes[k]!) }));
