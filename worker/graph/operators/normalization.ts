import { FLOATS } from "../dtype.ts";
import { type Operator, parameter } from "./call.ts";

const softmax: Operator = {
  parameters: [parameter("input", FLOATS)],
  attributes: { axis: "int" },
  infer: (call) => {
    const { dtype, shape } = call.x(0);
    call.axis(call.int("axis", -1), shape.length, call.describe(0));
    return [{ dtype, shape }];
  },
};

/** Operators that scale along axes so that something becomes one. */
export const normalization = {
  Softmax: softmax,
  LogSoftmax: softmax,
  /** Results: Y, and the mean and inverse standard deviation per row, in float32 whatever X is. */
  LayerNormalization: {
    parameters: [
      parameter("X", FLOATS, "T"),
      parameter("Scale", FLOATS, "T"),
      parameter("B", FLOATS, "T", { optional: true }),
    ],
    attributes: { axis: "int", epsilon: "float" },
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      const axis = call.axis(call.int("axis", -1), shape.length, call.describe(0));
      for (const index of call.optional(2) === undefined ? [1] : [1, 2]) {
        call.expectRank(index, shape.length - axis, shape.length - axis);
        for (const [at, dim] of shape.slice(axis).entries()) {
          call.expectDim(index, at, dim, `the size of axis ${axis + at} of ${call.describe(0)}`);
        }
      }
      const statistics = shape.map((dim, at) => (at < axis ? dim : 1));
      return [
        { dtype, shape },
        { dtype: "float32", shape: statistics },
        { dtype: "float32", shape: statistics },
      ];
    },
  },
} satisfies Record<string, Operator>;
