import { formatShape, type Shape } from "./dims.ts";
import { GraphError } from "./errors.ts";
import type { Value } from "./ir.ts";
import { squeeze } from "./ops/movement.ts";
import { reduceSum } from "./ops/reduction.ts";

/** Undoes broadcasting: sums g over the axes along which a tensor of `shape` was repeated to become g's shape. */
export function sumToShape(g: Value, shape: Shape): Value {
  const added = g.shape.length - shape.length;
  const repeated: number[] = [];
  for (const [axis, dim] of g.shape.entries()) {
    const original = axis < added ? 1 : shape[axis - added];
    if (axis < added || (original === 1 && dim !== 1)) repeated.push(axis);
    else if (original !== dim) {
      const reason = `${formatShape(shape)} does not broadcast to ${formatShape(g.shape)}`;
      throw new GraphError("sumToShape", g.name, reason);
    }
  }
  if (repeated.length === 0) return g;
  return squeeze(
    reduceSum(g, repeated, true),
    Array.from({ length: added }, (_, axis) => axis),
  );
}
