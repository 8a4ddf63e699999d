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
  for (const message of messages) addTensor(tensors, message);
  return tensors;
}

function addTensor(tensors: Record<string, Tensor>, message: TensorMessage): void {
  const { dtype, shape } = message;
  const name = message.name.slice(0, 200);
  const data = message.data instanceof Uint8Array ? message.data : Uint8Array.from(message.data);
  const array = ARRAYS[dtype];
  if (array === undefined) throw new Error(`tensor '${name}': unknown dtype ${dtype}`);
  if (message.name in tensors) throw new Error(`tensor '${name}' occurs twice`);
  if (shape.length > MAX_DIMENSIONS) throw new Error(`tensor '${name}': ${shape.length} dimensions`);
  const elements = shape.reduce((product, dim) => product * dim, 1);
  const size = array.BYTES_PER_ELEMENT;
  if (data.byteLength !== elements * size) {
    throw new Error(`tensor '${name}': ${data.byteLength} bytes do not fill shape [${shape.join(", ")}]`);
  }
  const { buffer, byteOffset } = data.byteOffset % size === 0 ? data : Uint8Array.prototype.slice.call(data);
  tensors[message.name] = { shape: [...shape], data: new array(buffer as ArrayBuffer, byteOffset, elements) };
}

/** The bytes of a `Tensors` message: what result envelopes and weights artifacts hold. */
export function encodeTensors(tensors: TensorMap): Uint8Array {
  return tensorsType()
    .encode({ tensors: tensorMessages(tensors) })
    .finish();
}

/** Bytes that hold no tensors. */
export class MalformedTensorsError extends Error {
  override readonly name = "MalformedTensorsError";
}

/** More than any model has, and more dimensions than any of its tensors. */
const MAX_TENSORS = 100_000;
const MAX_DIMENSIONS = 64;

/**
 * Reads a `Tensors` message; the tensors may share memory with `bytes`. Each is read and checked before the next one, so that what is wrong
 * costs no more than what is right.
 *
 * @throws MalformedTensorsError where the bytes are no such message, or what they hold is no tensors
 */
export function decodeTensors(bytes: Uint8Array): TensorMap {
  const tensors: Record<string, Tensor> = Object.create(null);
  try {
    const reader = protobuf.Reader.create(bytes);
    for (let count = 1; reader.pos < reader.len; count++) {
      const tag = reader.uint32();
      if (tag !== TENSORS_TAG) reader.skipType(tag & 7);
      else if (count > MAX_TENSORS) throw new Error(`more than ${MAX_TENSORS} tensors`);
      else addTensor(tensors, readTensor(reader));
    }
  } catch (cause) {
    throw new MalformedTensorsError(
      cause instanceof RangeError ? `not a Tensors message: ${cause.message}` : (cause as Error).message,
      { cause },
    );
  }
  return tensors;
}

/** Field 1 of `Tensors`, as are the fields of `Tensor` below, with the wire type of bytes. */
const TENSORS_TAG = (1 << 3) | 2;

function readTensor(reader: protobuf.Reader): TensorMessage {
  const end = endOf(reader);
  let [name, dtype, data] = ["", 0, new Uint8Array()];
  const shape: number[] = [];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag >>> 3 === 1) name = reader.string();
    else if (tag >>> 3 === 2) dtype = reader.int32();
    else if (tag >>> 3 === 3) readShape(reader, tag, shape);
    else if (tag >>> 3 === 4) data = reader.bytes() as Uint8Array<ArrayBuffer>;
    else reader.skipType(tag & 7);
  }
  if (reader.pos !== end) throw new RangeError("a tensor ends inside of a field");
  return { name, dtype, shape, data };
}

function readShape(reader: protobuf.Reader, tag: number, shape: number[]): void {
  const end = (tag & 7) === 2 ? endOf(reader) : reader.pos + 1;
  while (reader.pos < end) {
    shape.push(reader.uint32());
    if (shape.length > MAX_DIMENSIONS) throw new Error(`a tensor of more than ${MAX_DIMENSIONS} dimensions`);
  }
}

/** Where a field of bytes ends, which begins with its length. */
function endOf(reader: protobuf.Reader): number {
  const length = reader.uint32();
  if (length > reader.len - reader.pos)
    throw new RangeError(`a field of ${length} bytes, which are not there`);
  return reader.pos + length;
}
