import { createHash } from "node:crypto";
import { readTensorBytes } from "../../worker/checkpoint/read-tensor.ts";
import type { Checkpoint } from "../../worker/checkpoint/tensor-entry.ts";
import { hasTorch, runPython } from "./python.ts";

/** A tensor of a torch archive. */
export interface OutlinedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Of its values as they lie in memory, little-endian. */
  readonly sha256: string;
  /** First tensor of the same storage; its own name where there is none before it. */
  readonly tiedTo: string;
}

const BY_TORCH = `
import ctypes, hashlib, json, sys, torch
weights = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
first = {}
def outline(name, tensor):
  storage = tensor.untyped_storage().data_ptr()
  tensor = tensor.contiguous()
  return dict(name=name, dtype=str(tensor.dtype)[6:], shape=list(tensor.shape), tiedTo=first.setdefault(storage, name),
    sha256=hashlib.sha256(ctypes.string_at(tensor.data_ptr(), tensor.nbytes)).hexdigest())
print(json.dumps([outline(*each) for each in weights.items()]))`;

const BY_STANDARD_LIBRARY = `
import collections, hashlib, io, json, math, pickle, pickletools, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None, "a CRC does not fit"
root = archive.namelist()[0].split("/")[0]
program = archive.read(root + "/data.pkl")
pickletools.dis(program, out=io.StringIO())
dtypes = {"DoubleStorage": ("float64", 8), "FloatStorage": ("float32", 4), "HalfStorage": ("float16", 2), "BFloat16Storage": ("bfloat16", 2)}
def rebuild(storage, offset, shape, strides, requires_grad, hooks):
  (dtype, size), key, elements = storage
  count = math.prod(shape)
  assert list(strides) == [math.prod(shape[k + 1:]) for k in range(len(shape))], f"strides {strides} of shape {shape}"
  data = archive.read(root + "/data/" + key)
  assert len(data) == elements * size and offset + count <= elements, f"storage {key}"
  return dict(dtype=dtype, shape=list(shape), key=key, sha256=hashlib.sha256(data[offset * size:(offset + count) * size]).hexdigest())
class Walk(pickle.Unpickler):
  def persistent_load(self, identity):
    kind, dtype, key, place, elements = identity
    assert (kind, place) == ("storage", "cpu"), identity
    return dtype, key, elements
  def find_class(self, module, name):
    if (module, name) == ("collections", "OrderedDict"): return collections.OrderedDict
    if (module, name) == ("torch._utils", "_rebuild_tensor_v2"): return rebuild
    if module == "torch" and name in dtypes: return dtypes[name]
    raise ValueError(f"the global {module}.{name}")
first = {}
weights = Walk(io.BytesIO(program)).load()
print(json.dumps([dict(name=name, tiedTo=first.setdefault(tensor.pop("key"), name), **tensor) for name, tensor in weights.items()]))`;

/**
 * What Python reads in a torch archive, by reader: its standard library (CRCs by zipfile, a legal program by pickletools, the tensors by an unpickler
 * that knows no other globals than torch.load's), and torch.load(weights_only=True) where PyTorch is installed. @throws where Python refuses the file
 */
export function outlinesInPython(path: string): ReadonlyMap<string, readonly OutlinedTensor[]> {
  const read = (program: string) => runPython<OutlinedTensor[]>(program, path);
  return new Map([
    ["zipfile and pickletools", read(BY_STANDARD_LIBRARY)] as const,
    ...(hasTorch() ? [["torch.load", read(BY_TORCH)] as const] : []),
  ]);
}

/** What elibad's own reader finds, in the same form. */
export async function outlineHere({ tensors }: Checkpoint): Promise<OutlinedTensor[]> {
  const entries = [...tensors.values()];
  return Promise.all(
    entries.map(async (entry) => ({
      name: entry.name,
      dtype: entry.dtype,
      shape: entry.shape,
      sha256: createHash("sha256")
        .update(await readTensorBytes(entry))
        .digest("hex"),
      tiedTo: entries.find(({ file, offset }) => file === entry.file && offset === entry.offset)!.name,
    })),
  );
}
