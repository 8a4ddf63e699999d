import { join } from "node:path";
import protobuf from "protobufjs";
import type { Tensor, TensorMap } from "./operations.ts";
import { packageRoot } from "./package-root.ts";

/** A `Tensor` message of `elibad.proto` as plain data. */
export interface TensorMessage {
  readonly name: string;
  /** `TensorMessage.dtype`: 0 float32, 1 int32, 2 float64. */
  readonly dtype: number;
  readonly shape: readonly number[];
  /** An empty one may be read as an empty list. */
  readonly data: Uint8Array | readonly never[];
}

/** By `dtype`. */
const ARRAYS = [Float32Array, Int32Array, Float64Array] as const;

let messageType: protobuf.Type | undefined;

function tensorsType(): protobuf.Type {
  messageType ??= protobuf
    .loadSync(join(packageRoot, "proto", "elibad.proto"))
    .lookupType("elibad.v1.Tensors");
  return messageType;
}

/** Tensors as messages; the bytes are views of the tensors' own memory. */
export function tensorMessages(tensors: TensorMap): TensorMessage[] {
  return Object.entries(tensors).map(([name, { shape, data }]) => ({
    name,
    dtype: ARRAYS.findIndex((array) => data instanceof array),
    shape,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  }));
}

/**
 * Messages as tensors, without copying where the bytes lie on a multiple of an element's size.
 * Throws on an unknown dtype, a repeated name, or bytes that do not fill the shape.
 */
export function tensorsFromMessages(messages: readonly TensorMessage[]): TensorMap {
  const tensors: Record<string, Tensor> = Object.create(null);
  for (const message of messages) {
    const { name, dtype, shape } = message;
    const data = message.data instanceof Uint8Array ? message.data : Uint8Array.from(message.data);
    const array = ARRAYS[dtype];
    if (array === undefined) throw new Error(`tensor '${name}': unknown dtype ${dtype}`);
    if (name in tensors) throw new Error(`tensor '${name}' occurs twice`);
    const elements = shape.reduce((product, dim) => product * dim, 1);
    const size = array.BYTES_PER_ELEMENT;
    if (data.byteLength !== elements * size) {
      throw new Error(`tensor '${name}': ${data.byteLength} bytes do not fill shape [${shape.join(", ")}]`);
    }
    const { buffer, byteOffset } =
      data.byteOffset % size === 0 ? data : Uint8Array.prototype.slice.call(data);
    tensors[name] = { shape: [...shape], data: new array(buffer as ArrayBuffer, byteOffset, elements) };
  }
  return tensors;
}

/** The bytes of a `Tensors` message: what result envelopes and weights artifacts hold. */
export function encodeTensors(tensors: TensorMap): Uint8Array {
  return tensorsType()
    .encode({ tensors: tensorMessages(tensors) })
    .finish();
}

/** Reads a `Tensors` message; the tensors may share memory with `bytes`. Throws where the bytes are no such message. */
export function decodeTensors(bytes: Uint8Array): TensorMap {
  const { tensors } = tensorsType().decode(bytes) as unknown as { readonly tensors: TensorMessage[] };
  return tensorsFromMessages(tensors);
}
