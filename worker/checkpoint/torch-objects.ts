import type { Builder } from "./pickle-machine.ts";
import {
  describe,
  type GlobalToken,
  isDict,
  isTuple,
  type OpaqueObject,
  type PickleValue,
} from "./pickle-values.ts";
import { type Dtype, elementCount } from "./tensor-entry.ts";

/** A tensor's bytes in a torch archive: the entry `data/<key>`. */
export interface TorchStorage extends OpaqueObject {
  readonly type: "storage";
  readonly key: string;
  readonly dtype: Dtype;
  /** Elements. */
  readonly size: number;
}

export interface TorchTensor extends OpaqueObject {
  readonly type: "tensor";
  readonly storage: TorchStorage;
  /** Elements from the start of the storage. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** Elements. */
  readonly stride: readonly number[];
}

/** torch's storage class of each dtype. */
export const storageClasses: Readonly<Record<Dtype, string>> = {
  float32: "FloatStorage",
  float16: "HalfStorage",
  bfloat16: "BFloat16Storage",
  float64: "DoubleStorage",
  int64: "LongStorage",
  int32: "IntStorage",
  int16: "ShortStorage",
  int8: "CharStorage",
  uint8: "ByteStorage",
  bool: "BoolStorage",
};

const dtypes = Object.keys(storageClasses) as Dtype[];
const storageDtypes = new Map(dtypes.map((dtype) => [`torch.${storageClasses[dtype]}`, dtype]));

const ORDERED_DICT = "collections.OrderedDict";
const REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2";
const REBUILD_PARAMETER = "torch._utils._rebuild_parameter";

/**
 * The allow-list: every name that a state dict of plain tensors uses, and the dtypes, which training scripts put
 * beside it. (`_rebuild_tensor_v3` and untyped storages occur only with dtypes that are not supported here.)
 */
const tokens: ReadonlyMap<string, GlobalToken> = new Map(
  [
    ORDERED_DICT,
    REBUILD_TENSOR,
    REBUILD_PARAMETER,
    ...storageDtypes.keys(),
    ...dtypes.map((dtype) => `torch.${dtype}`),
  ].map((name) => [name, { kind: "global", name }]),
);

/** The meaning of the calls in a pickled state dict (PyTorch: `torch/_utils.py`, `torch/serialization.py`). */
export const torchBuilder: Builder = {
  global: (module, name) => tokens.get(`${module}.${name}`),

  reduce(callable, args) {
    switch (nameOf(callable)) {
      case ORDERED_DICT:
        if (args.length > 0) throw new Error("OrderedDict is called with arguments");
        return { kind: "dict", ordered: true, entries: new Map() };
      case REBUILD_TENSOR:
        return rebuildTensor(args);
      case REBUILD_PARAMETER:
        if (!isTensor(args[0])) throw new Error(`a parameter is made of ${describe(args[0])}`);
        return args[0];
      default:
        return undefined;
    }
  },

  persistentLoad([tag, storageClass, key, location, size]) {
    const dtype = storageDtypes.get(nameOf(storageClass) ?? "");
    if (tag !== "storage" || dtype === undefined) return undefined;
    if (typeof key !== "string" || !/^\d{1,19}$/.test(key))
      throw new Error("a storage key is not a decimal number");
    if (typeof location !== "string" || elementCount([size]) === undefined)
      throw new Error(`storage ${key} has no location or no size`);
    const storage: TorchStorage = { kind: "object", type: "storage", key, dtype, size: size as number };
    return storage;
  },
};

/** (storage, storage offset, size, stride, requires_grad, hooks[, metadata]) as `_rebuild_tensor_v2` takes them. */
function rebuildTensor(args: readonly PickleValue[]): TorchTensor {
  const [storage, offset, size, stride, , hooks, metadata] = args;
  if (args.length < 6 || args.length > 7)
    throw new Error(`a tensor is rebuilt from ${args.length} arguments`);
  if (!isStorage(storage))
    throw new Error(`a tensor is rebuilt from ${describe(storage)}, not from a storage`);
  if (elementCount([offset]) === undefined) throw new Error("a tensor's storage offset is not a count");
  if (!isDict(hooks) || hooks.entries.size > 0) throw new Error("a tensor has backward hooks");
  if (metadata != null && !(isDict(metadata) && metadata.entries.size === 0))
    throw new Error("a tensor has metadata (conjugate or negated view), which is not supported");
  return {
    kind: "object",
    type: "tensor",
    storage,
    offset: offset as number,
    shape: counts(size, "size"),
    stride: counts(stride, "stride"),
  };
}

function counts(value: PickleValue | undefined, what: string): readonly number[] {
  const valid =
    isTuple(value) && value.items.length <= 64 && value.items.every((n) => elementCount([n]) !== undefined);
  if (!valid) throw new Error(`a tensor's ${what} is not a tuple of at most 64 counts`);
  return value.items as number[];
}

const nameOf = (value: PickleValue | undefined): string | undefined =>
  typeof value === "object" && value?.kind === "global" ? value.name : undefined;

const isStorage = (value: PickleValue | undefined): value is TorchStorage =>
  typeof value === "object" && value?.kind === "object" && value.type === "storage";

export const isTensor = (value: PickleValue | undefined): value is TorchTensor =>
  typeof value === "object" && value?.kind === "object" && value.type === "tensor";
