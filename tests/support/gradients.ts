import type { TensorMap } from "../../proto/operations.ts";

/** Whether a tensor of a checkpoint takes part, and is not a further name of one that does. */
export const trains = (name: string): boolean => !/pooler|embed_tokens|lm_head/.test(name);

/** A weight's gradient in a train-step's result with all its rows, whichever way it was sent. */
export function denseGradient(tensors: TensorMap, name: string, shape: readonly number[]): Float32Array {
  const rows = tensors[`${name}#rows`];
  if (rows === undefined) return tensors[name]!.data as Float32Array;
  const columns = shape[1]!;
  const data = new Float32Array(shape[0]! * columns);
  for (const [index, row] of rows.data.entries()) {
    data.set(tensors[name]!.data.subarray(index * columns, (index + 1) * columns), row * columns);
  }
  return data;
}
