import type { Tensor } from "../../proto/operations.ts";

/** Rows of a table's gradient that are not all zero, ascending, and their values [rows, columns]. */
export interface SparseRows {
  readonly rows: Tensor<Int32Array>;
  readonly values: Tensor<Float32Array>;
}

/** Look-ups in a table: row `indices[k]` was looked up, and `slopes[k]` [columns] is the gradient by what was found. */
export interface LookupSlopes {
  readonly indices: Int32Array;
  readonly slopes: Float32Array;
  /** Row that has no gradient, as in PyTorch. */
  readonly paddingIndex?: number | undefined;
}

/** Gradient of a table from the gradients of its look-ups. Those of one row are added in float64 in index order and rounded once. */
export function tableGradient(lookups: readonly LookupSlopes[], columns: number): SparseRows {
  const sums = new Map<number, Float64Array>();
  for (const { indices, slopes, paddingIndex } of lookups) {
    for (const [lookup, row] of indices.entries()) {
      if (row === paddingIndex) continue;
      let sum = sums.get(row);
      if (sum === undefined) {
        sum = new Float64Array(columns);
        sums.set(row, sum);
      }
      for (let at = 0; at < columns; at++) sum[at] = sum[at]! + slopes[lookup * columns + at]!;
    }
  }
  const rows = [...sums].filter(([, sum]) => sum.some((value) => value !== 0)).sort(([a], [b]) => a - b);
  const values = new Float32Array(rows.length * columns);
  for (const [index, [, sum]] of rows.entries()) values.set(sum, index * columns);
  return {
    rows: { shape: [rows.length], data: Int32Array.from(rows, ([row]) => row) },
    values: { shape: [rows.length, columns], data: values },
  };
}

/** The same gradient with all rows of the table. */
export function denseRows({ rows, values }: SparseRows, tableRows: number): Tensor<Float32Array> {
  const columns = values.shape[1]!;
  const data = new Float32Array(tableRows * columns);
  for (const [index, row] of rows.data.entries()) {
    data.set(values.data.subarray(index * columns, (index + 1) * columns), row * columns);
  }
  return { shape: [tableRows, columns], data };
}
