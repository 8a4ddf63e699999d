import { addDims, type Dim, subDims } from "../dims.ts";
import type { Value } from "../ir.ts";
import { sliceBound } from "../operators/movement.ts";
import { sub } from "../ops/elementwise.ts";
import { scatterElements } from "../ops/indexing.ts";
import {
  concat,
  expand,
  full,
  pad,
  range,
  reshape,
  slice,
  split,
  squeeze,
  transpose,
  unsqueeze,
} from "../ops/movement.ts";
import { fromFront } from "../ops/operand.ts";
import { reduceSum } from "../ops/reduction.ts";
import { sumToShape } from "../sum-to-shape.ts";
import { type Forward, type Rule, setting, type Vjp } from "./rule.ts";

const numbers = (value: Value | null | undefined): readonly number[] | undefined =>
  value?.contents?.map(Number);

/** Puts g back where the slice was cut out, zeros elsewhere, axis by axis. */
const unslice: Rule = (g, { node, x: [x, starts, ends] }) => {
  const axes = numbers(node.inputs[3]) ?? starts.contents!.map((_, axis) => axis);
  const steps = numbers(node.inputs[4]) ?? axes.map(() => 1);
  let result = g;
  for (const [index, given] of axes.entries()) {
    const axis = fromFront(given, x.shape.length);
    const dim = x.shape[axis]!;
    const [start, end, step] = [starts.contents![index]!, ends.contents![index]!, steps[index]!];
    if (step === 1) {
      const before = sliceBound(dim, start);
      const after = subDims(dim, addDims(before, result.shape[axis]!));
      result = pad(result, axis, before, after);
    } else {
      const places = slice(range(x.graph, dim), 0, start, end, step);
      result = scatterAlong(result, axis, dim, places);
    }
  }
  return result;
};

/** Zeros of length `dim` along an axis, with x at the given places. */
function scatterAlong(x: Value, axis: number, dim: Dim, places: Value): Value {
  const zeros = full(
    x.graph,
    x.shape.map((other, at) => (at === axis ? dim : other)),
    0,
    x.dtype,
  );
  const column = unsqueeze(
    places,
    x.shape.map((_, at) => at).filter((at) => at !== axis),
  );
  return scatterElements(zeros, expand(column, x.shape), x, { axis });
}

/** The part of g that was not padding. */
const unpad = (g: Value, { x: [x, pads] }: Forward): Value =>
  x.shape.reduce<Value>((rest, dim, axis) => {
    const before = pads.contents![axis]!;
    return rest.shape[axis] === dim ? rest : slice(rest, axis, before, addDims(before, dim));
  }, g);

export const movement = {
  Reshape: [(g, { x: [x] }) => reshape(g, x.shape), null],
  Transpose: [
    (g, { x: [x], attributes }) => {
      const perm =
        (attributes.perm as readonly number[] | undefined) ?? x.shape.map((_, axis) => axis).reverse();
      return transpose(
        g,
        perm.map((_, axis) => perm.indexOf(axis)),
      );
    },
  ],
  Concat: (g, { node, attributes }, input) => {
    const axis = fromFront(setting(attributes, "axis", 0), g.shape.length);
    return split(
      g,
      node.inputs.map((part) => part!.shape[axis]!),
      axis,
    )[input]!;
  },
  Split: [
    (_, { node, gradientOf, attributes }) =>
      concat(
        node.outputs.map((_, output) => gradientOf(output)),
        setting(attributes, "axis", 0),
      ),
    null,
  ],
  Slice: [unslice, null, null, null, null],
  Pad: [
    (g, forward) => unpad(g, forward),
    null,
    (g, forward) => sub(reduceSum(g), reduceSum(unpad(g, forward))),
  ],
  Squeeze: [
    (g, { x: [, axes] }) =>
      unsqueeze(
        g,
        numbers(axes)!.map((axis) => fromFront(axis, g.shape.length + axes.contents!.length)),
      ),
    null,
  ],
  Unsqueeze: [(g, { x: [, axes] }) => squeeze(g, numbers(axes)!), null],
  Expand: [(g, { x: [x] }) => sumToShape(g, x.shape), null],
} satisfies Record<string, Vjp>;
