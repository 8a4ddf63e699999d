import type { Tensor } from "../../proto/operations.ts";
import { readUpdated } from "../../worker/checkpoint/low-rank.ts";
import { readTensor } from "../../worker/checkpoint/read-tensor.ts";
import type { OpenedModel } from "./open-model.ts";

/** Every weight that takes part in the computation, as float32: all but tensors that the layout does not use. Tied names are read once each. */
export async function trainableWeights(opened: OpenedModel): Promise<Map<string, Tensor>> {
  const weights = new Map<string, Tensor>();
  for (const [name, shape] of opened.layout.weights) {
    weights.set(name, { shape, data: await readWeight(opened, name) });
  }
  return weights;
}

/** A weight as the model computes with it: with an adapter's update. */
export function readWeight(
  { tensors, adapter }: Pick<OpenedModel, "tensors" | "adapter">,
  name: string,
): Promise<Float32Array> {
  const update = adapter?.updates.get(name);
  return update === undefined ? readTensor(tensors.get(name)!) : readUpdated(tensors.get(name)!, update);
}
