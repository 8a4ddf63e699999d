import type { Tensor } from "../../proto/operations.ts";
import { readTensor } from "../../worker/checkpoint/read-tensor.ts";
import type { OpenedModel } from "./open-model.ts";

/** Every weight that takes part in the computation, as float32: all but tensors that the layout does not use. Tied names are read once each. */
export async function trainableWeights({ checkpoint, layout }: OpenedModel): Promise<Map<string, Tensor>> {
  const weights = new Map<string, Tensor>();
  for (const [name, shape] of layout.weights) {
    weights.set(name, { shape, data: await readTensor(checkpoint.tensors.get(name)!) });
  }
  return weights;
}
