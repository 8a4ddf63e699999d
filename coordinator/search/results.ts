import type { OperationResult, Tensor } from "../../proto/operations.ts";

/** An operation gave a tensor that is missing, of another shape than asked for, or not finite. */
export class UnexpectedResultError extends Error {
  override readonly name = "UnexpectedResultError";
}

/** The result's `logits`, one view per row. */
export const logitRows = (result: OperationResult, rows: number): Float32Array[] =>
  floatRows(result, "logits", rows);

/** A float32 matrix of a result, one view per row. */
export function floatRows(result: OperationResult, name: string, rows: number): Float32Array[] {
  const { data, shape } = floatTensor(result, name, [rows, undefined]);
  const columns = shape[1]!;
  return Array.from({ length: rows }, (_, row) => data.subarray(row * columns, (row + 1) * columns));
}

/** A float64 list of a result. */
export function doubles(result: OperationResult, name: string, length: number): Float64Array {
  const { data } = checked(result, name, [length]);
  if (!(data instanceof Float64Array)) throw new UnexpectedResultError(`${name} is not float64`);
  if (!data.every(Number.isFinite))
    throw new UnexpectedResultError(`${name} holds a value that is not finite`);
  return data;
}

/** A float32 tensor of a result; `undefined` in `shape` stands for any size. */
export function floatTensor(
  result: OperationResult,
  name: string,
  shape: readonly (number | undefined)[],
): Tensor<Float32Array> {
  const { data, shape: actual } = checked(result, name, shape);
  if (!(data instanceof Float32Array)) throw new UnexpectedResultError(`${name} is not float32`);
  if (!data.every(Number.isFinite))
    throw new UnexpectedResultError(`${name} holds a value that is not finite`);
  return { data, shape: actual };
}

/** An int32 matrix of a result as lists of rows. */
export function intRows(
  result: OperationResult,
  name: string,
  [rows, columns]: [number, number],
): number[][] {
  const { data } = checked(result, name, [rows, columns]);
  if (!(data instanceof Int32Array)) throw new UnexpectedResultError(`${name} is not int32`);
  return Array.from({ length: rows }, (_, row) =>
    Array.from(data.subarray(row * columns, (row + 1) * columns)),
  );
}

function checked(result: OperationResult, name: string, shape: readonly (number | undefined)[]): Tensor {
  const tensor = result.tensors[name];
  const fits =
    tensor !== undefined &&
    tensor.shape.length === shape.length &&
    shape.every((size, axis) => size === undefined || size === tensor.shape[axis]) &&
    tensor.data.length === tensor.shape.reduce((product, size) => product * size, 1);
  if (fits) return tensor;
  const expected = shape.map((size) => size ?? "any").join(", ");
  throw new UnexpectedResultError(`${name} has shape [${tensor?.shape}], expected [${expected}]`);
}
