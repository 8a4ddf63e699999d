import type { Tensor } from "../../proto/operations.ts";
import { openCheckpoint, openWeightFile } from "../../worker/checkpoint/open-checkpoint.ts";
import { readTensor } from "../../worker/checkpoint/read-tensor.ts";
import { sharedPath } from "./shared.ts";

/** Every floating-point tensor of a checkpoint folder, as float32. */
export async function loadWeights(folder: string): Promise<Map<string, Tensor<Float32Array>>> {
  const { tensors } = await openCheckpoint(folder);
  const loaded = new Map<string, Tensor<Float32Array>>();
  for (const [name, entry] of tensors) {
    if (entry.dtype.includes("float"))
      loaded.set(name, { shape: entry.shape, data: await readTensor(entry) });
  }
  return loaded;
}

/** The tensors of a safetensors file, as float32: a golden case's arrays, or recorded weights. */
export async function loadArrays(...parts: string[]): Promise<Map<string, Tensor<Float32Array>>> {
  const loaded = new Map<string, Tensor<Float32Array>>();
  for (const [name, entry] of await openWeightFile(sharedPath(...parts), "safetensors")) {
    loaded.set(name, { shape: entry.shape, data: await readTensor(entry) });
  }
  return loaded;
}

/** max|a − b| ÷ max|b|: the golden README's relative difference. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const apart = Math.abs(actual[i]! - expected[i]!);
    if (!(apart <= difference)) difference = apart; // keeps a NaN
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}
