import type { Objective } from "../../worker/training/objective.ts";

/** One row of a batch. */
export interface Example {
  /** Row of the sample set. */
  readonly row: number;
  readonly objective: Objective;
  /** Factor of the row's loss in its batch: 1 ÷ batch size for a mean. */
  readonly weight: number;
}

/** Examples of one batch with equal weights: their loss is the mean. */
export function meanOf(rows: readonly { readonly row: number; readonly objective: Objective }[]): Example[] {
  return rows.map(({ row, objective }) => ({ row, objective, weight: 1 / rows.length }));
}
