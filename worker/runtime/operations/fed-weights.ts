import { digestOf } from "../../../proto/canonical-json.ts";
import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { TensorMap } from "../../../proto/operations.ts";
import type { StoredModel } from "../../programs/model.ts";
import type { Session } from "../session.ts";

/**
 * Weights of an artifact that a program takes as inputs, checked against the model's names and shapes. Tensors of the
 * checkpoint that take no part (the pooler), and further names of tied ones, are passed over.
 */
export function fedWeights(weights: TensorMap, { layout }: StoredModel): TensorMap {
  const used = Object.entries(weights).filter(
    ([name]) => !layout.unused.includes(name) && !layout.tied.has(name),
  );
  for (const [name, { shape, data }] of used) {
    const expected = layout.weights.get(name);
    if (expected === undefined) throw new OperationFailed(`weights: the model has no weight '${name}'`);
    if (!(data instanceof Float32Array) || expected.join() !== shape.join()) {
      const found = `${data.constructor.name.replace("Array", "").toLowerCase()} [${shape.join(", ")}]`;
      throw new OperationFailed(`weights: '${name}' is ${found}, expected float32 [${expected.join(", ")}]`);
    }
  }
  return Object.fromEntries(used);
}

/** The tensors that a program is fed, out of those that are there. */
export const fedTo = ({ inputs }: Session, tensors: TensorMap): TensorMap =>
  Object.fromEntries(inputs.flatMap(({ name }) => (tensors[name] ? [[name, tensors[name]]] : [])));

/** Names a program by the weights that it is fed. */
export const fedKey = (names: ReadonlySet<string>): string =>
  digestOf([...names].sort().join("\n")).slice(0, 16);
