import { type ByteFile, withFile } from "./byte-file.ts";
import { CheckpointError, quoted } from "./checkpoint-error.ts";
import { crc32 } from "./crc32.ts";
import { pickleLimits, readPickle } from "./pickle-machine.ts";
import { describe, isDict, type PickleDict, type PickleValue } from "./pickle-values.ts";
import { recogniseWeightFile } from "./recognise.ts";
import { elementCount, itemBytes, type TensorEntry } from "./tensor-entry.ts";
import { isTensor, type TorchTensor, torchBuilder } from "./torch-objects.ts";
import { readZipEntries, type ZipEntry } from "./zip-entries.ts";

/** Keys under which training scripts put the state dict beside other things. */
const WRAPPER_KEYS = ["state_dict", "model_state_dict", "model"];

/**
 * Tensors of one `torch.save` file (zip format, PyTorch 1.6 and later) that holds a state dict, bare or under
 * `state_dict`, `model_state_dict` or `model`. Reads the zip's headers and the pickle, never the weights, and runs
 * nothing of it; throws `CheckpointError`.
 */
export async function openTorchZip(path: string): Promise<ReadonlyMap<string, TensorEntry>> {
  return withFile(path, async (file) => {
    if ((await recogniseWeightFile(file)) !== "zip") {
      const head = (await file.read(0, Math.min(8, file.size), "byte 0")).toString("hex");
      throw new CheckpointError(
        path,
        "byte 0",
        `is not a zip archive (first bytes ${head}), so not a torch file`,
      );
    }
    const entries = await readZipEntries(file);
    const { root, pickle } = findPickle(path, entries);
    await checkByteOrder(file, entries.get(`${root}/byteorder`));
    if (pickle.size > pickleLimits.bytes)
      throw new CheckpointError(path, pickle.name, `a pickle of ${pickle.size} bytes is above the limit`);
    const bytes = await readChecked(file, pickle);
    const value = readPickle(bytes, torchBuilder, { file: path, entry: pickle.name });
    const stateDict = findStateDict(path, pickle.name, value);
    const tensors = new Map<string, TensorEntry>();
    for (const [name, tensor] of stateDict.entries)
      tensors.set(String(name), tensorEntry(path, { root, entries, name, tensor }));
    return tensors;
  });
}

/** torch.save puts everything below one folder, named after the file. */
function findPickle(
  path: string,
  entries: ReadonlyMap<string, ZipEntry>,
): { root: string; pickle: ZipEntry } {
  const refuse = (place: string, reason: string): never => {
    throw new CheckpointError(path, place, reason);
  };
  const pickles = [...entries.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length > 1)
    return refuse("zip directory", `${pickles.length} entries named <folder>/data.pkl; a torch file has one`);
  const root = pickle.name.slice(0, -"/data.pkl".length);
  const stray = [...entries.keys()].find((name) => !name.startsWith(`${root}/`));
  if (stray !== undefined) refuse(`entry ${quoted(stray)}`, `lies outside of ${quoted(root)}`);
  return { root, pickle };
}

async function readChecked(file: ByteFile, entry: ZipEntry): Promise<Buffer> {
  const bytes = await file.read(entry.dataOffset, entry.size, entry.name);
  if (crc32(bytes) !== entry.crc32)
    throw new CheckpointError(
      file.path,
      entry.name,
      "its CRC-32 does not fit its bytes: the file is damaged",
    );
  return bytes;
}

async function checkByteOrder(file: ByteFile, entry: ZipEntry | undefined): Promise<void> {
  if (entry === undefined) return; // before PyTorch 2.1; always little-endian in practice
  const order = entry.size <= 16 ? (await readChecked(file, entry)).toString("latin1") : "";
  if (order !== "little")
    throw new CheckpointError(file.path, entry.name, `byte order ${quoted(order)}; only "little" is read`);
}

function findStateDict(path: string, place: string, value: PickleValue): PickleDict {
  const refuse = (reason: string): never => {
    throw new CheckpointError(path, place, reason);
  };
  if (!isDict(value)) return refuse(`holds a ${describe(value)}, not a state dict`);
  if ([...value.entries.values()].some(isTensor)) return value;
  for (const key of WRAPPER_KEYS) {
    const inner = value.entries.get(key);
    if (isDict(inner) && [...inner.entries.values()].some(isTensor)) return inner;
  }
  const keys = [...value.entries.keys()].slice(0, 10).map((key) => quoted(String(key)));
  return refuse(`holds no state dict of tensors; its keys are ${keys.join(", ") || "none"}`);
}

function tensorEntry(
  path: string,
  {
    root,
    entries,
    name,
    tensor,
  }: {
    root: string;
    entries: ReadonlyMap<string, ZipEntry>;
    name: unknown;
    tensor: PickleValue;
  },
): TensorEntry {
  const refuse = (reason: string): never => {
    throw new CheckpointError(path, `tensor ${quoted(String(name))}`, reason);
  };
  if (typeof name !== "string") return refuse("its name is not a string");
  if (!isTensor(tensor)) return refuse(`is not a tensor but a ${describe(tensor)}`);
  const { storage, offset, shape } = tensor;
  const { dtype } = storage;
  const entry = entries.get(`${root}/data/${storage.key}`);
  if (entry === undefined)
    return refuse(`its storage ${quoted(`data/${storage.key}`)} is not in the archive`);
  const storageBytes = storage.size * itemBytes[dtype];
  if (entry.size !== storageBytes)
    return refuse(`its storage says ${storageBytes} bytes, ${quoted(entry.name)} has ${entry.size}`);
  const count = elementCount(shape);
  if (count === undefined) return refuse(`its shape [${shape}] is too large`);
  if (!isContiguous(tensor)) return refuse(`is not contiguous (shape [${shape}], stride [${tensor.stride}])`);
  const start = offset * itemBytes[dtype];
  const byteLength = count * itemBytes[dtype];
  if (!(start + byteLength <= entry.size))
    return refuse(`bytes ${start} to ${start + byteLength} lie outside its storage of ${entry.size} bytes`);
  return { name, dtype, shape, file: path, offset: entry.dataOffset + start, byteLength };
}

/** Row-major without gaps; the stride of a dimension of one element says nothing, nor does any of an empty tensor. */
function isContiguous({ shape, stride }: TorchTensor): boolean {
  if (shape.length !== stride.length) return false;
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && stride[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}
