import { type ByteFile, withFile } from "./byte-file.ts";
import { CheckpointError, quoted } from "./checkpoint-error.ts";
import { bfloat16ToFloat32, float16ToFloat32 } from "./float-formats.ts";
import { type Dtype, isFloat, type TensorEntry } from "./tensor-entry.ts";

/** A tensor's bytes as they lie in its file, little-endian. */
export async function readTensorBytes(entry: TensorEntry): Promise<Uint8Array<ArrayBuffer>> {
  return withFile(entry.file, (file) => readBytes(file, entry));
}

/**
 * A floating-point tensor as float32: float16 and bfloat16 exactly, float64 rounded to nearest. Throws a
 * `CheckpointError` for integers (`readTensorBytes` gives those) and where the file has changed its size.
 */
export async function readTensor(entry: TensorEntry): Promise<Float32Array> {
  if (!isFloat(entry.dtype))
    throw new CheckpointError(
      entry.file,
      `tensor ${quoted(entry.name)}`,
      `has dtype ${entry.dtype}; a floating-point tensor was expected`,
    );
  return toFloat32(entry.dtype, await readTensorBytes(entry));
}

/** Bytes of a floating-point dtype as float32; `bytes` starts at an offset that is a multiple of eight of its buffer. */
export function toFloat32(dtype: Dtype, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  switch (dtype) {
    case "float32":
      return new Float32Array(buffer, byteOffset, byteLength / 4);
    case "float16":
      return float16ToFloat32(new Uint16Array(buffer, byteOffset, byteLength / 2));
    case "bfloat16":
      return bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, byteLength / 2));
    case "float64":
      return Float32Array.from(new Float64Array(buffer, byteOffset, byteLength / 8));
    default:
      throw new TypeError(`${dtype} is not a floating-point dtype`);
  }
}

async function readBytes(file: ByteFile, entry: TensorEntry): Promise<Uint8Array<ArrayBuffer>> {
  const place = `tensor ${quoted(entry.name)}`;
  if (entry.offset + entry.byteLength > file.size)
    throw new CheckpointError(
      file.path,
      place,
      "lies outside of the file, which has changed since it was opened",
    );
  const bytes = new Uint8Array(entry.byteLength);
  await file.readInto(bytes, entry.offset, place);
  return bytes;
}
