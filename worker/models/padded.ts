import type { Tensor } from "../../proto/operations.ts";

/** Hugging Face's bias of a masked key: after the softmax its weight is exactly 0. */
export const LOWEST_FLOAT32 = -3.4028234663852886e38;

const widthOf = (rows: readonly (readonly number[])[]): number => Math.max(...rows.map((row) => row.length));

/** Rows of different lengths as one tensor [rows, longest], filled up on the right. */
export function paddedRows(rows: readonly (readonly number[])[], fill: number): Tensor<Int32Array> {
  const width = widthOf(rows);
  const data = new Int32Array(rows.length * width).fill(fill);
  for (const [index, row] of rows.entries()) data.set(row, index * width);
  return { shape: [rows.length, width], data };
}

/** Added to attention scores, [rows, 1, 1, longest]: 0 for tokens, the lowest float for padding. */
export function keyBias(rows: readonly (readonly number[])[]): Tensor<Float32Array> {
  const width = widthOf(rows);
  const data = new Float32Array(rows.length * width).fill(LOWEST_FLOAT32);
  for (const [index, row] of rows.entries()) data.fill(0, index * width, index * width + row.length);
  return { shape: [rows.length, 1, 1, width], data };
}

/** 1 at each row's last token, 0 elsewhere: [rows, 1, longest]. */
export function rowEnds(rows: readonly (readonly number[])[]): Tensor<Float32Array> {
  const width = widthOf(rows);
  const data = new Float32Array(rows.length * width);
  for (const [index, row] of rows.entries()) data[index * width + row.length - 1] = 1;
  return { shape: [rows.length, 1, width], data };
}

/** 1 ÷ length at each row's tokens, 0 at padding, [rows, 1, longest]: their product with states is the mean over tokens. */
export function tokenShares(rows: readonly (readonly number[])[]): Tensor<Float32Array> {
  const width = widthOf(rows);
  const data = new Float32Array(rows.length * width);
  for (const [index, row] of rows.entries()) {
    data.fill(1 / row.length, index * width, index * width + row.length);
  }
  return { shape: [rows.length, 1, width], data };
}
