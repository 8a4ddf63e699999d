import { readTensor } from "./read-tensor.ts";
import type { TensorEntry } from "./tensor-entry.ts";

/** A weight [out, in] + scale · b [out, r] · a [r, in] as float32: sums in float64, rounded once. */
export async function readUpdated(
  weight: TensorEntry,
  { a, b, scale }: { readonly a: TensorEntry; readonly b: TensorEntry; readonly scale: number },
): Promise<Float32Array> {
  const values = await readTensor(weight);
  const [left, right] = [await readTensor(b), await readTensor(a)];
  const rank = b.shape[1]!;
  const columns = a.shape[1]!;
  for (let row = 0; row * columns < values.length; row++) {
    const sums = new Float64Array(columns);
    for (let k = 0; k < rank; k++) {
      const factor = left[row * rank + k]!;
      for (let column = 0; column < columns; column++) {
        sums[column] = sums[column]! + factor * right[k * columns + column]!;
      }
    }
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      values[at] = values[at]! + scale * sums[column]!;
    }
  }
  return values;
}
