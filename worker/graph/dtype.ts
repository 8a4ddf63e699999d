/** Element types of tensors: names as ONNX writes them in lower case, with their TensorProto.DataType codes. */
export type DType = "float32" | "float16" | "bfloat16" | "float64" | "int64" | "int32" | "bool";

/** The bits of a tensor in JavaScript: half types as their 16-bit patterns, bool as one byte, 0 or 1. */
export type TensorData = Float32Array | Float64Array | Uint16Array | BigInt64Array | Int32Array | Uint8Array;

/** TensorProto.DataType, https://github.com/onnx/onnx/blob/v1.15.0/onnx/onnx.proto */
export const onnxCode: Readonly<Record<DType, number>> = {
  float32: 1,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
};

export const bytesPerElement: Readonly<Record<DType, number>> = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float64: 8,
  int64: 8,
  int32: 4,
  bool: 1,
};

export const FLOATS: readonly DType[] = ["float32", "float16", "bfloat16", "float64"];
export const INTEGERS: readonly DType[] = ["int64", "int32"];
export const NUMBERS: readonly DType[] = [...FLOATS, ...INTEGERS];
export const ANY: readonly DType[] = [...NUMBERS, "bool"];

export const isFloat = (dtype: DType): boolean => FLOATS.includes(dtype);

/** Elements of `dtype` from plain numbers, rounded to nearest even where the type is narrower. */
export function toTensorData(dtype: DType, values: readonly number[]): TensorData {
  switch (dtype) {
    case "float32":
      return Float32Array.from(values);
    case "float64":
      return Float64Array.from(values);
    case "int32":
      return Int32Array.from(values);
    case "int64":
      return BigInt64Array.from(values, BigInt);
    case "bool":
      return Uint8Array.from(values, (value) => (value === 0 ? 0 : 1));
    case "float16":
      return Uint16Array.from(values, float16Bits);
    case "bfloat16":
      return Uint16Array.from(values, bfloat16Bits);
  }
}

const scratch = new DataView(new ArrayBuffer(4));

function float32Bits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

/** The bfloat16 nearest to `value` (ties to even); a NaN stays a NaN. */
export function bfloat16Bits(value: number): number {
  const bits = float32Bits(value);
  if (Number.isNaN(value)) return 0x7fc0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The IEEE half nearest to `value` (ties to even); beyond its range infinity, a NaN stays a NaN. */
export function float16Bits(value: number): number {
  const sign = float32Bits(value) >>> 31 === 1 ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude || 1)));
  const steps = roundHalfToEven(magnitude / 2 ** (exponent - 10));
  // A subnormal has no implicit bit; a mantissa that rounds up to 2048 carries into the exponent by itself.
  return steps < 1024 ? sign | steps : sign | (((exponent + 15) << 10) + (steps - 1024));
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
