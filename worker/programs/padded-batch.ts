import type { Tensor } from "../../proto/operations.ts";

/** Rows of different lengths as one batch, padded on the right to the longest. */
export interface PaddedBatch {
  readonly ids: Tensor<Int32Array>;
  readonly positions: Tensor<Int32Array>;
  readonly keyBias: Tensor<Float32Array>;
}

/** Hugging Face's bias of a masked key: after the softmax its weight is exactly 0. */
const LOWEST_FLOAT32 = -3.4028234663852886e38;

/** Positions as RoBERTa counts them: `padId` plus the number of the token in its row, and `padId` for padding. */
export function paddedBatch(rows: readonly (readonly number[])[], padId: number): PaddedBatch {
  const width = Math.max(...rows.map((row) => row.length));
  const ids = new Int32Array(rows.length * width).fill(padId);
  const positions = new Int32Array(rows.length * width).fill(padId);
  const keyBias = new Float32Array(rows.length * width).fill(LOWEST_FLOAT32);
  for (const [index, row] of rows.entries()) {
    ids.set(row, index * width);
    for (let column = 0; column < row.length; column++)
      positions[index * width + column] = padId + 1 + column;
    keyBias.fill(0, index * width, index * width + row.length);
  }
  const shape = [rows.length, width];
  return {
    ids: { shape, data: ids },
    positions: { shape, data: positions },
    keyBias: { shape: [rows.length, 1, 1, width], data: keyBias },
  };
}
