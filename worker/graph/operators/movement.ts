import { addDims, type Dim, divDims, elementCount, formatShape, type Shape, subDims } from "../dims.ts";
import { ANY, NUMBERS } from "../dtype.ts";
import { broadcastShapes } from "./broadcast.ts";
import { type InferContext, type Operator, parameter } from "./call.ts";

/** Bounds at or beyond this mean "to the end", as in ONNX's examples (INT_MAX, INT64_MAX). */
const TO_THE_END = 2 ** 31 - 1;

function reshaped(call: InferContext): Shape {
  const { shape } = call.x(0);
  const total = elementCount(shape);
  const wanted = call.contents(1).map((dim, axis): Dim => {
    if (dim !== 0) return dim;
    const copied = shape[axis];
    if (copied === undefined)
      call.fail(`shape[${axis}] = 0 copies an axis that ${call.describe(0)} does not have`);
    return copied;
  });
  const open = wanted.indexOf(-1);
  if (open !== wanted.lastIndexOf(-1)) call.fail(`shape ${formatShape(wanted)} has more than one -1`);
  if (open < 0) {
    if (elementCount(wanted) !== total) {
      call.fail(`cannot reshape ${call.describe(0)}, ${total} elements, to ${formatShape(wanted)}`);
    }
    return wanted;
  }
  const rest = elementCount(wanted.filter((_, axis) => axis !== open));
  const dim = divDims(total, rest);
  if (dim === undefined) {
    call.fail(
      `cannot reshape ${call.describe(0)}, ${total} elements, to ${formatShape(wanted)}: no whole size for axis ${open}`,
    );
  }
  return wanted.map((other, axis) => (axis === open ? dim : other));
}

/** Where a slice bound lies; symbolic dimensions are taken to be at least as long as literal bounds say. */
export function sliceBound(dim: Dim, at: Dim): Dim {
  if (typeof at === "number" && at >= TO_THE_END) return dim;
  const place = typeof at === "number" && at < 0 ? addDims(dim, at) : at;
  if (typeof place === "number" && typeof dim === "number") return Math.min(Math.max(place, 0), dim);
  return place;
}

function sliced(call: InferContext): Shape {
  const { shape } = call.x(0);
  const starts = call.contents(1);
  const ends = call.contents(2);
  const axes = call.optional(3) === undefined ? starts.map((_, axis) => axis) : call.numbers(3);
  const steps = call.optional(4) === undefined ? starts.map(() => 1) : call.numbers(4);
  if ([ends, axes, steps].some((list) => list.length !== starts.length)) {
    call.fail("starts, ends, axes and steps have different lengths");
  }
  const result = [...shape];
  for (const [index, axisGiven] of axes.entries()) {
    const axis = call.axis(axisGiven, shape.length, call.describe(0));
    const step = steps[index]!;
    if (step < 1) call.fail(`step ${step} on axis ${axis}: only steps forward are supported`);
    const span = subDims(sliceBound(shape[axis]!, ends[index]!), sliceBound(shape[axis]!, starts[index]!));
    if (typeof span === "number") result[axis] = Math.max(0, Math.ceil(span / step));
    else if (step === 1) result[axis] = span;
    else call.fail(`step ${step} on dimension ${call.describeDim(0, axis)}: its length is not known`);
  }
  return result;
}

/** Operators that move elements without computing. */
export const movement = {
  Reshape: {
    parameters: [parameter("data", ANY), parameter("shape", ["int64"])],
    infer: (call) => [{ dtype: call.x(0).dtype, shape: reshaped(call) }],
  },
  Transpose: {
    parameters: [parameter("data", ANY)],
    attributes: { perm: "ints" },
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      const perm = call.ints("perm") ?? shape.map((_, axis) => shape.length - 1 - axis);
      if (
        perm.length !== shape.length ||
        new Set(perm.map((at) => call.axis(at, shape.length))).size !== perm.length
      ) {
        call.fail(`perm [${perm.join(",")}] is not a permutation of the axes of ${call.describe(0)}`);
      }
      return [{ dtype, shape: perm.map((at) => shape[at]!) }];
    },
  },
  Concat: {
    parameters: [parameter("inputs", ANY, "T", { variadic: true })],
    attributes: { axis: "int" },
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      if (call.node.attributes.axis === undefined) call.fail("attribute 'axis' is missing");
      const axis = call.axis(call.int("axis", 0), shape.length, call.describe(0));
      let length: Dim = 0;
      for (const index of call.inputs.keys()) {
        call.expectRank(index, shape.length, shape.length);
        for (const [at, dim] of shape.entries()) {
          if (at !== axis) call.expectDim(index, at, dim, `as in ${call.describe(0)}`);
        }
        length = addDims(length, call.x(index).shape[axis]!);
      }
      return [{ dtype, shape: shape.map((dim, at) => (at === axis ? length : dim)) }];
    },
  },
  Slice: {
    parameters: [
      parameter("data", ANY),
      parameter("starts", ["int64", "int32"], "Tind"),
      parameter("ends", ["int64", "int32"], "Tind"),
      parameter("axes", ["int64", "int32"], "Tind", { optional: true }),
      parameter("steps", ["int64", "int32"], "Tind", { optional: true }),
    ],
    infer: (call) => [{ dtype: call.x(0).dtype, shape: sliced(call) }],
  },
  Split: {
    parameters: [parameter("input", ANY), parameter("split", ["int64"])],
    attributes: { axis: "int" },
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      const axis = call.axis(call.int("axis", 0), shape.length, call.describe(0));
      const sizes = call.contents(1);
      const total = sizes.reduce<Dim>(addDims, 0);
      if (total !== shape[axis]) {
        call.fail(`the parts ${formatShape(sizes)} do not add up to dimension ${call.describeDim(0, axis)}`);
      }
      return sizes.map((size) => ({ dtype, shape: shape.map((dim, at) => (at === axis ? size : dim)) }));
    },
  },
  Squeeze: {
    parameters: [parameter("data", ANY), parameter("axes", ["int64"])],
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      const axes = call.numbers(1).map((axis) => call.axis(axis, shape.length, call.describe(0)));
      for (const axis of axes) call.expectDim(0, axis, 1, "so the axis cannot be squeezed");
      return [{ dtype, shape: shape.filter((_, axis) => !axes.includes(axis)) }];
    },
  },
  Unsqueeze: {
    parameters: [parameter("data", ANY), parameter("axes", ["int64"])],
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      const rank = shape.length + call.numbers(1).length;
      const axes = call.numbers(1).map((axis) => call.axis(axis, rank));
      if (new Set(axes).size !== axes.length) call.fail(`axes [${axes.join(",")}] repeat`);
      const rest = [...shape];
      return [
        {
          dtype,
          shape: Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? 1 : rest.shift()!)),
        },
      ];
    },
  },
  Expand: {
    parameters: [parameter("input", ANY), parameter("shape", ["int64"])],
    infer: (call) => [
      {
        dtype: call.x(0).dtype,
        shape: broadcastShapes([call.x(0).shape, call.contents(1)], (reason) => call.fail(reason)),
      },
    ],
  },
  Pad: {
    parameters: [
      parameter("data", ANY, "T"),
      parameter("pads", ["int64"]),
      parameter("constant_value", ANY, "T", { optional: true }),
    ],
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      const pads = call.contents(1);
      if (pads.length !== 2 * shape.length) {
        call.fail(
          `${call.describe(1)} has ${pads.length} numbers, expected two for each axis of ${call.describe(0)}`,
        );
      }
      const added = shape.map((_, axis) => addDims(pads[axis]!, pads[axis + shape.length]!));
      return [{ dtype, shape: shape.map((dim, axis) => addDims(dim, added[axis]!)) }];
    },
  },
  Shape: {
    parameters: [parameter("data", ANY)],
    attributes: { start: "int", end: "int" },
    infer: (call) => {
      const { shape } = call.x(0);
      return [
        { dtype: "int64", shape: [shape.slice(call.int("start", 0), call.int("end", shape.length)).length] },
      ];
    },
  },
  ConstantOfShape: {
    parameters: [parameter("input", ["int64"])],
    attributes: { value: "tensor" },
    infer: (call) => {
      const value = call.tensor("value");
      if (value !== undefined && (value.shape.length !== 1 || value.data.length !== 1)) {
        call.fail(`attribute 'value' has shape [${value.shape.join(",")}], expected [1]`);
      }
      return [{ dtype: value?.dtype ?? "float32", shape: call.contents(0) }];
    },
  },
  Range: {
    parameters: [
      parameter("start", NUMBERS, "T"),
      parameter("limit", NUMBERS, "T"),
      parameter("delta", NUMBERS, "T"),
    ],
    infer: (call) => {
      const [start, limit, delta] = [call.numbers(0)[0]!, call.contents(1)[0]!, call.numbers(2)[0]!];
      for (const index of [0, 1, 2]) call.expectRank(index, 0, 0);
      const span = subDims(limit, start);
      if (typeof span === "number") {
        return [{ dtype: call.x(0).dtype, shape: [Math.max(0, Math.ceil(span / delta))] }];
      }
      const length = divDims(span, delta);
      if (length === undefined)
        return call.fail(`${span} elements in steps of ${delta}: the length is not known`);
      return [{ dtype: call.x(0).dtype, shape: [length] }];
    },
  },
} satisfies Record<string, Operator>;
