import { CheckpointError, quoted } from "./checkpoint-error.ts";
import { float32ToBfloat16, float32ToFloat16 } from "./float-formats.ts";
import { type Dtype, elementCount, type TensorEntry } from "./tensor-entry.ts";
import { firstNonFinite } from "./verify-weights.ts";

/**
 * New values of a tensor in its file's dtype, rounded to nearest even. Throws a `CheckpointError` naming `file` and
 * the tensor where the count does not fit the shape, a value is NaN or infinite or becomes so in the dtype, or the
 * tensor holds no floating-point numbers.
 */
export function encodeTensor(
  { name, dtype, shape }: Pick<TensorEntry, "name" | "dtype" | "shape">,
  values: Float32Array,
  file: string,
): Uint8Array<ArrayBuffer> {
  const refuse = (reason: string): never => {
    throw new CheckpointError(file, `tensor ${quoted(name)}`, reason);
  };
  if (values.length !== elementCount(shape))
    refuse(`${values.length} values do not fit its shape [${shape}]`);
  const encoded = encode(dtype, values) ?? refuse(`has dtype ${dtype} and cannot take floating-point values`);
  const bytes = new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const at = firstNonFinite(dtype, bytes);
  if (at >= 0) refuse(`the new value ${values[at]} at element ${at} is not finite in ${dtype}`);
  return bytes;
}

function encode(dtype: Dtype, values: Float32Array) {
  switch (dtype) {
    case "float32":
      return Float32Array.from(values);
    case "float16":
      return float32ToFloat16(values);
    case "bfloat16":
      return float32ToBfloat16(values);
    case "float64":
      return Float64Array.from(values);
    default:
      return undefined;
  }
}
