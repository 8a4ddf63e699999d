/** What the simulated devices compute: numbers that follow from the operation and the class of device alone, like those of a real one. */
import { fingerprintOf } from "../../proto/operation-codec.ts";
import type { Digest, Operation, Tensor, TensorMap } from "../../proto/operations.ts";
import { uniform } from "../support/uniform.ts";

const HIDDEN = 2;

/** The result of an operation; `salt` stands for the class of device, or for a lie. */
export function answerOf(operation: Operation, fingerprint: Digest, salt: number): TensorMap {
  const draw = uniform((Number.parseInt(fingerprint.slice(0, 8), 16) ^ Math.imul(salt, 0x9e3779b1)) >>> 0);
  const numbers = (...shape: number[]): Tensor => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 4 * draw() - 2),
  });
  switch (operation.kind) {
    case "score":
      return { logits: numbers(operation.triggers.length, 1) };
    case "gradient":
      return {
        gradient: numbers(operation.rows.length, operation.trigger.length, HIDDEN),
        logits: numbers(operation.rows.length, 1),
      };
    case "predict":
      return { logits: numbers(operation.rows.length, 1) };
    default:
      throw new Error(`no simulated job asks for an operation of kind ${operation.kind}`);
  }
}

/** The bits of tensors, in a number: one that is other changes it. */
export function bitsOf(tensors: TensorMap, start: number): number {
  let hash = start;
  for (const { data } of Object.values(tensors)) {
    const bits = new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4);
    for (const word of bits) hash = mixed(hash ^ word);
  }
  return hash;
}

export function mixed(value: number): number {
  const first = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  const second = Math.imul(first ^ (first >>> 15), 0x735a2d97);
  return (second ^ (second >>> 15)) >>> 0;
}

/** Results of this process, of one class of device: what a cluster without faults gives. */
export const directly =
  (salt: number) =>
  async (operations: readonly Operation[]): Promise<readonly { readonly tensors: TensorMap }[]> =>
    operations.map((operation) => ({ tensors: answerOf(operation, fingerprintOf(operation), salt) }));
