import { type Dim, elementCount, isSymbol, type Shape, sameShape } from "../dims.ts";
import type { DType } from "../dtype.ts";
import type { Graph, Value } from "../ir.ts";
import { tensor } from "../tensor.ts";
import { shapeTensor } from "./dimension.ts";
import { fromFront, int64s, scalar } from "./operand.ts";

/** The same elements in another shape: numbers, symbols or expressions of them ("B*T"), and -1 at most once. */
export function reshape(x: Value, shape: Shape): Value {
  if (sameShape(shape, x.shape)) return x;
  return x.graph.op("Reshape", [x, reshapeTarget(x, shape)])[0]!;
}

/** A constant where one will do: a symbol is copied from the same axis (0) or, if it is the only one, inferred (-1). */
function reshapeTarget(x: Value, shape: Shape): Value {
  const target = shape.map((dim, axis) => (isSymbol(dim) && x.shape[axis] === dim ? 0 : dim));
  const symbolic = target.filter((dim) => typeof dim === "string");
  const empty = [...shape, ...x.shape].includes(0);
  // Spelt out in full, so that the shape rule sees the mistake instead of inferring a size that was not asked for.
  const mistaken = !shape.includes(-1) && elementCount(shape) !== elementCount(x.shape);
  if (empty || mistaken) return shapeTensor(x.graph, shape);
  if (symbolic.length === 0) return int64s(x.graph, target as number[]);
  if (symbolic.length === 1 && !target.includes(-1)) {
    return int64s(
      x.graph,
      target.map((dim) => (typeof dim === "string" ? -1 : dim)),
    );
  }
  return shapeTensor(x.graph, shape);
}

/**
 * Axes in the order of `perm`. Transposing back gives the value that was transposed: the gradient of x·Wᵀ then reads W
 * itself, where onnxruntime would hold another folded copy of the weight.
 */
export function transpose(x: Value, perm: readonly number[]): Value {
  const before = x.graph.producer(x);
  const first = before?.opType === "Transpose" ? (before.attributes.perm as number[] | undefined) : undefined;
  const undone =
    first !== undefined && perm.length === first.length && perm.every((at, axis) => first[at] === axis);
  return undone ? before!.inputs[0]! : x.graph.op("Transpose", [x], { perm })[0]!;
}

/** The last two axes swapped. */
export function swapLast(x: Value): Value {
  const perm = x.shape.map((_, axis) => axis);
  return transpose(x, [...perm.slice(0, -2), perm.length - 1, perm.length - 2]);
}

export function concat(values: readonly Value[], axis: number): Value {
  return values[0]!.graph.op("Concat", values, { axis })[0]!;
}

/**
 * Elements start ≤ i < end (every `step`-th) of one axis. Negative bounds count from the end; `end` left out means up to the
 * end. A symbolic dimension is taken to be at least as long as the bounds say.
 */
export function slice(
  x: Value,
  axis: number,
  start: Dim,
  end: Dim = Number.MAX_SAFE_INTEGER,
  step = 1,
): Value {
  const { graph } = x;
  const inputs = [x, shapeTensor(graph, [start]), shapeTensor(graph, [end]), int64s(graph, [axis])];
  return graph.op("Slice", step === 1 ? inputs : [...inputs, int64s(graph, [step])])[0]!;
}

/** Parts of the given sizes along an axis. */
export const split = (x: Value, sizes: Shape, axis = -1): readonly Value[] =>
  x.graph.op("Split", [x, shapeTensor(x.graph, sizes)], { axis });

export const squeeze = (x: Value, axes: readonly number[]): Value =>
  axes.length === 0 ? x : x.graph.op("Squeeze", [x, int64s(x.graph, axes)])[0]!;

export const unsqueeze = (x: Value, axes: readonly number[]): Value =>
  axes.length === 0 ? x : x.graph.op("Unsqueeze", [x, int64s(x.graph, axes)])[0]!;

/** x repeated along axes of length 1 (and new leading axes) up to `shape`. */
export const expand = (x: Value, shape: Shape): Value =>
  sameShape(shape, x.shape) ? x : x.graph.op("Expand", [x, shapeTensor(x.graph, shape)])[0]!;

/** Zeros (or `value`) before and after along one axis. */
export function pad(x: Value, axis: number, before: Dim, after: Dim, value?: number): Value {
  const { graph } = x;
  const at = fromFront(axis, x.shape.length);
  const amounts = (amount: Dim) => x.shape.map((_, other) => (other === at ? amount : 0));
  const pads = shapeTensor(graph, [...amounts(before), ...amounts(after)]);
  return graph.op("Pad", value === undefined ? [x, pads] : [x, pads, scalar(graph, value, x.dtype)])[0]!;
}

/** A tensor of one repeated element. */
export function full(graph: Graph, shape: Shape, value: number, dtype: DType): Value {
  return graph.op("ConstantOfShape", [shapeTensor(graph, shape)], { value: tensor(dtype, [1], [value]) })[0]!;
}

/** start, start + step, … below `limit`: int64 of shape [limit − start]. */
export function range(graph: Graph, limit: Dim, start = 0, step = 1): Value {
  const end = graph.op("Squeeze", [shapeTensor(graph, [limit]), int64s(graph, [0])])[0]!;
  return graph.op("Range", [scalar(graph, start, "int64"), end, scalar(graph, step, "int64")])[0]!;
}
