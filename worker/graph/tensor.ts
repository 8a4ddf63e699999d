import { type DType, type TensorData, toTensorData } from "./dtype.ts";

/** A constant of the program: elements in row-major order. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** A tensor from plain numbers, rounded to `dtype`. */
export function tensor(dtype: DType, shape: readonly number[], values: readonly number[]): Tensor {
  const count = shape.reduce((product, dim) => product * dim, 1);
  if (values.length !== count) {
    throw new RangeError(
      `a tensor of shape [${shape.join(",")}] has ${count} elements, not ${values.length}`,
    );
  }
  return { dtype, shape, data: toTensorData(dtype, values) };
}

/** The little-endian bytes of a tensor, as ONNX raw_data and checkpoint files hold them. */
export const tensorBytes = ({ data }: Tensor): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
