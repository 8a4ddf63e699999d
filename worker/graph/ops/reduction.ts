import type { Value } from "../ir.ts";
import { int64s, scalar } from "./operand.ts";

type ReduceOp = "ReduceSum" | "ReduceMean" | "ReduceMax";

const reduce =
  (opType: ReduceOp) =>
  (x: Value, axes?: readonly number[], keepdims = false): Value =>
    x.graph.op(opType, axes === undefined ? [x] : [x, int64s(x.graph, axes)], {
      keepdims: keepdims ? 1 : 0,
    })[0]!;

/** Over the given axes, or all; reduced axes vanish unless `keepdims`. */
export const reduceSum = reduce("ReduceSum");
export const reduceMean = reduce("ReduceMean");
/** The largest element; tied elements share the gradient. */
export const reduceMax = reduce("ReduceMax");

/** Index (int64) of the largest element along an axis, the first one among equals. */
export const argMax = (x: Value, axis: number, keepdims = false): Value =>
  x.graph.op("ArgMax", [x], { axis, keepdims: keepdims ? 1 : 0 })[0]!;

/** The k largest elements along an axis in falling order, and their indices (int64). */
export function topK(x: Value, k: number, axis = -1): { readonly values: Value; readonly indices: Value } {
  const [values, indices] = x.graph.op("TopK", [x, int64s(x.graph, [k])], { axis });
  return { values: values!, indices: indices! };
}

/** Running sum along an axis; `exclusive` leaves each element itself out, `reverse` sums from the end. */
export const cumSum = (
  x: Value,
  axis: number,
  { exclusive = false, reverse = false }: { readonly exclusive?: boolean; readonly reverse?: boolean } = {},
): Value =>
  x.graph.op("CumSum", [x, scalar(x.graph, axis, "int64")], {
    exclusive: exclusive ? 1 : 0,
    reverse: reverse ? 1 : 0,
  })[0]!;
