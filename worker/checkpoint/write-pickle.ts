import { opcodes as op } from "./pickle-opcodes.ts";
import type { Dtype } from "./tensor-entry.ts";
import { storageClasses } from "./torch-objects.ts";

/** A tensor that fills its storage `data/<key>` of `elements` elements. */
export interface PickledTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly key: string;
  readonly elements: number;
}

/** An `OrderedDict` of tensors as a pickle of protocol 2, as `torch.save` writes it, without memo. */
export function pickleStateDict(tensors: readonly PickledTensor[]): Buffer {
  return Buffer.concat([
    Buffer.from([op.PROTO, 2]),
    orderedDict,
    Buffer.from([op.MARK]),
    ...tensors.flatMap((tensor) => [text(tensor.name), pickleTensor(tensor)]),
    Buffer.from([op.SETITEMS, op.STOP]),
  ]);
}

/** `_rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks)` */
function pickleTensor({ dtype, shape, key, elements }: PickledTensor): Buffer {
  const stride = shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1));
  const storage = tuple([
    text("storage"),
    global("torch", storageClasses[dtype]),
    text(key),
    text("cpu"),
    integer(elements),
  ]);
  const args = [
    Buffer.concat([storage, Buffer.from([op.BINPERSID])]),
    integer(0),
    tuple(shape.map(integer)),
    tuple(stride.map(integer)),
    Buffer.from([op.NEWFALSE]),
    orderedDict,
  ];
  return Buffer.concat([global("torch._utils", "_rebuild_tensor_v2"), tuple(args), Buffer.from([op.REDUCE])]);
}

const global = (module: string, name: string): Buffer =>
  Buffer.concat([Buffer.from([op.GLOBAL]), Buffer.from(`${module}\n${name}\n`)]);

const orderedDict = Buffer.concat([
  global("collections", "OrderedDict"),
  Buffer.from([op.EMPTY_TUPLE, op.REDUCE]),
]);

const tuple = (items: readonly Buffer[]): Buffer =>
  Buffer.concat([Buffer.from([op.MARK]), ...items, Buffer.from([op.TUPLE])]);

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(5, op.BINUNICODE);
  length.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([length, bytes]);
}

function integer(value: number): Buffer {
  if (value < 2 ** 31) {
    const bytes = Buffer.alloc(5, op.BININT);
    bytes.writeInt32LE(value, 1);
    return bytes;
  }
  const bytes = Buffer.alloc(10, op.LONG1);
  bytes.writeUInt8(8, 1);
  bytes.writeBigInt64LE(BigInt(value), 2);
  return bytes;
}
