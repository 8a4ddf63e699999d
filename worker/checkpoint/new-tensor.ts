import { withFile } from "./byte-file.ts";
import { CheckpointError, quoted } from "./checkpoint-error.ts";
import { encodeTensor } from "./encode-tensor.ts";
import { type Checkpoint, type Dtype, elementCount, itemBytes, type TensorEntry } from "./tensor-entry.ts";

/** A tensor to write: values (stored as `dtype`), or a place whose bytes are copied as they are. */
export interface NewTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Float32Array | TensorEntry;
}

/** A checkpoint's tensors in its order, some with new values: what to write where the container changes. */
export function tensorsToWrite(
  { tensors, folder }: Checkpoint,
  replaced: ReadonlyMap<string, Float32Array> = new Map(),
): NewTensor[] {
  for (const name of replaced.keys())
    if (!tensors.has(name))
      throw new CheckpointError(folder, `tensor ${quoted(name)}`, "is not in the checkpoint");
  // Tied names stay tied: the values given for one are those of all of them.
  const byPlace = new Map([...replaced].map(([name, values]) => [placeOf(tensors.get(name)!), values]));
  return [...tensors.values()].map((entry) => ({
    name: entry.name,
    dtype: entry.dtype,
    shape: entry.shape,
    data: replaced.get(entry.name) ?? byPlace.get(placeOf(entry)) ?? entry,
  }));
}

/** The same for tensors that lie in one place, as tied weights do. */
export const placeOf = ({ file, offset, byteLength }: TensorEntry): string =>
  `${offset}+${byteLength}:${file}`;

export const byteLengthOf = ({ dtype, shape }: NewTensor): number => elementCount(shape)! * itemBytes[dtype];

/** Refuses what no container can hold: repeated or empty names, impossible shapes, a source of another dtype or size. */
export function checkNewTensors(path: string, tensors: readonly NewTensor[]): void {
  const names = new Set<string>();
  for (const tensor of tensors) {
    const { name, dtype, shape, data } = tensor;
    const refuse = (reason: string): never => {
      throw new CheckpointError(path, `tensor ${quoted(name)}`, reason);
    };
    if (name === "" || name === "__metadata__") refuse("is no name for a tensor");
    if (names.has(name)) refuse("is to be written twice");
    names.add(name);
    if (elementCount(shape) === undefined) refuse(`has an impossible shape [${shape}]`);
    if (!(data instanceof Float32Array) && (data.dtype !== dtype || data.byteLength !== byteLengthOf(tensor)))
      refuse(`${dtype} [${shape}] is to be copied from ${data.dtype} [${data.shape}]`);
  }
}

/** The bytes of a tensor in pieces; each piece is its receiver's own. */
export async function* tensorBytes(path: string, tensor: NewTensor): AsyncGenerator<Uint8Array> {
  const { data } = tensor;
  if (data instanceof Float32Array) {
    yield encodeTensor(tensor, data, path);
    return;
  }
  // A generator cannot hand out pieces from inside withFile's callback, so each piece opens the file anew.
  const place = `tensor ${quoted(data.name)}`;
  for (let done = 0; done < data.byteLength; done += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, data.byteLength - done);
    yield await withFile(data.file, (file) => file.read(data.offset + done, length, place));
  }
}

const PIECE_BYTES = 8 * 2 ** 20;
