import { type Dim, elementCount } from "../dims.ts";
import type { Value } from "../ir.ts";
import { shapeTensor } from "../ops/dimension.ts";
import { cast, div, equal, mul } from "../ops/elementwise.ts";
import { scatterElements } from "../ops/indexing.ts";
import { expand, full, unsqueeze } from "../ops/movement.ts";
import { fromFront, scalar } from "../ops/operand.ts";
import { cumSum, reduceSum } from "../ops/reduction.ts";
import { type Forward, setting, type Vjp } from "./rule.ts";

function reducedAxes({ node, x: [x] }: Forward): readonly number[] {
  const axes = node.inputs[1]?.contents;
  return axes === undefined
    ? x.shape.map((_, axis) => axis)
    : axes.map((axis) => fromFront(Number(axis), x.shape.length));
}

/** A result of a reduction with its axes put back as ones, so that it broadcasts against the input. */
function withAxes(value: Value, forward: Forward): Value {
  return setting(forward.attributes, "keepdims", 1) === 1 ? value : unsqueeze(value, reducedAxes(forward));
}

/** A dimension as a float scalar, computed when the program runs where it is symbolic. */
function dimAsFloat(like: Value, dim: Dim): Value {
  return typeof dim === "number"
    ? scalar(like.graph, dim, like.dtype)
    : cast(shapeTensor(like.graph, [dim]), like.dtype);
}

export const reduction = {
  ReduceSum: [(g, forward) => expand(withAxes(g, forward), forward.x[0].shape), null],
  ReduceMean: [
    (g, forward) => {
      const { shape } = forward.x[0];
      const count = elementCount(reducedAxes(forward).map((axis) => shape[axis]!));
      return div(expand(withAxes(g, forward), shape), dimAsFloat(g, count));
    },
    null,
  ],
  // Tied elements share the gradient.
  ReduceMax: [
    (g, forward) => {
      const isLargest = cast(equal(forward.x[0], withAxes(forward.y[0], forward)), g.dtype);
      const ties = reduceSum(isLargest, reducedAxes(forward), true);
      return mul(isLargest, div(withAxes(g, forward), ties));
    },
    null,
  ],
  TopK: [
    (g, { x: [x], y: [, indices], attributes }) =>
      scatterElements(full(x.graph, x.shape, 0, x.dtype), indices, g, {
        axis: setting(attributes, "axis", -1),
      }),
    null,
  ],
  CumSum: [
    (g, { x: [, axis], attributes }) =>
      cumSum(g, Number(axis.contents?.[0]), {
        exclusive: setting(attributes, "exclusive", 0) === 1,
        reverse: setting(attributes, "reverse", 0) === 0,
      }),
    null,
  ],
} satisfies Record<string, Vjp>;
