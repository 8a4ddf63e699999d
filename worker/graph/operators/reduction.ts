import type { Shape } from "../dims.ts";
import { FLOATS, INTEGERS, NUMBERS } from "../dtype.ts";
import { type InferContext, type Operator, parameter } from "./call.ts";

const axesOf = (call: InferContext, rank: number): readonly number[] =>
  call.optional(1) === undefined
    ? Array.from({ length: rank }, (_, axis) => axis)
    : call.numbers(1).map((axis) => call.axis(axis, rank, call.describe(0)));

function reduced(shape: Shape, axes: readonly number[], keepdims: boolean): Shape {
  return keepdims
    ? shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim))
    : shape.filter((_, axis) => !axes.includes(axis));
}

const reduce = (dtypes: Operator["parameters"][number]["dtypes"]): Operator => ({
  parameters: [parameter("data", dtypes), parameter("axes", ["int64"], undefined, { optional: true })],
  attributes: { keepdims: "int" },
  infer: (call) => {
    const { dtype, shape } = call.x(0);
    return [{ dtype, shape: reduced(shape, axesOf(call, shape.length), call.int("keepdims", 1) === 1) }];
  },
});

/** Operators that sum up or pick along axes. */
export const reduction = {
  ReduceSum: reduce(NUMBERS),
  ReduceMean: reduce(NUMBERS),
  ReduceMax: reduce(NUMBERS),
  ArgMax: {
    parameters: [parameter("data", NUMBERS)],
    attributes: { axis: "int", keepdims: "int", select_last_index: "int" },
    infer: (call) => {
      const { shape } = call.x(0);
      const axis = call.axis(call.int("axis", 0), shape.length, call.describe(0));
      return [{ dtype: "int64", shape: reduced(shape, [axis], call.int("keepdims", 1) === 1) }];
    },
  },
  TopK: {
    parameters: [parameter("X", NUMBERS), parameter("K", ["int64"])],
    attributes: { axis: "int", largest: "int", sorted: "int" },
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      const axis = call.axis(call.int("axis", -1), shape.length, call.describe(0));
      const [k, ...others] = call.contents(1);
      if (k === undefined || others.length > 0) return call.fail(`${call.describe(1)} is not one number`);
      const dim = shape[axis]!;
      if (typeof k === "number" && typeof dim === "number" && k > dim) {
        call.fail(`K = ${k} exceeds dimension ${call.describeDim(0, axis)}`);
      }
      const top = shape.map((dim, at) => (at === axis ? k : dim));
      return [
        { dtype, shape: top },
        { dtype: "int64", shape: top },
      ];
    },
  },
  CumSum: {
    parameters: [parameter("x", [...FLOATS, ...INTEGERS]), parameter("axis", INTEGERS)],
    attributes: { exclusive: "int", reverse: "int" },
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      for (const axis of call.numbers(1)) call.axis(axis, shape.length, call.describe(0));
      return [{ dtype, shape }];
    },
  },
} satisfies Record<string, Operator>;
