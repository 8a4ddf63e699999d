/** Element types by PyTorch's names, with their size in bytes. */
export const itemBytes = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float64: 8,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
} as const;

export type Dtype = keyof typeof itemBytes;

/** Where one tensor lies: `byteLength` little-endian bytes at `offset` of `file`, row-major, without gaps. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Path of the weight file. */
  readonly file: string;
  /** Bytes from the start of the file. Two names with the same file and offset are one storage (tied weights). */
  readonly offset: number;
  readonly byteLength: number;
}

/** A checkpoint folder whose headers were read and checked; the weights stay where they are. */
export interface Checkpoint {
  readonly folder: string;
  readonly container: "safetensors" | "torch-zip";
  readonly sharded: boolean;
  /** Paths of the weight files, in the order in which the index or the folder names them. */
  readonly files: readonly string[];
  /** Path of the index of a sharded checkpoint. */
  readonly index?: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

export const isFloat = (dtype: Dtype): boolean => dtype.includes("float");

/** Number of elements of a shape; undefined where a dimension is no count or the product is not exact in a double. */
export function elementCount(shape: readonly unknown[]): number | undefined {
  let count = 1;
  for (const size of shape) {
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return undefined;
    count *= size;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}
