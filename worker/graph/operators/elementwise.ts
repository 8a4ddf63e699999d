import { ANY, type DType, FLOATS, NUMBERS } from "../dtype.ts";
import { broadcastShapes } from "./broadcast.ts";
import { type InferContext, type Operator, parameter } from "./call.ts";

const sameAsFirst = (call: InferContext) => [{ dtype: call.x(0).dtype, shape: call.x(0).shape }];

const unary = (dtypes: readonly DType[]): Operator => ({
  parameters: [parameter("X", dtypes)],
  infer: sameAsFirst,
});

function broadcasting(dtypes: readonly DType[], dtype?: DType): Operator {
  return {
    parameters: [parameter("A", dtypes, "T"), parameter("B", dtypes, "T")],
    infer: (call) => [
      {
        dtype: dtype ?? call.x(0).dtype,
        shape: broadcastShapes([call.x(0).shape, call.x(1).shape], (reason) => call.fail(reason)),
      },
    ],
  };
}

const variadic = (dtypes: readonly DType[]): Operator => ({
  parameters: [parameter("data_0", dtypes, "T", { variadic: true })],
  infer: (call) => [
    {
      dtype: call.x(0).dtype,
      shape: broadcastShapes(
        call.inputs.map((_, index) => call.x(index).shape),
        (reason) => call.fail(reason),
      ),
    },
  ],
});

/** Operators that work on each element by itself, with broadcasting where there are several inputs. */
export const elementwise = {
  Add: broadcasting(NUMBERS),
  Sub: broadcasting(NUMBERS),
  Mul: broadcasting(NUMBERS),
  Div: broadcasting(NUMBERS),
  Pow: broadcasting(NUMBERS),
  Max: variadic(NUMBERS),
  Min: variadic(NUMBERS),
  Neg: unary(NUMBERS),
  Abs: unary(NUMBERS),
  Sign: unary(NUMBERS),
  Sqrt: unary(FLOATS),
  Exp: unary(FLOATS),
  Log: unary(FLOATS),
  Reciprocal: unary(FLOATS),
  Relu: unary(NUMBERS),
  Tanh: unary(FLOATS),
  Erf: unary(NUMBERS),
  Sigmoid: unary(FLOATS),
  Softplus: unary(FLOATS),
  Gelu: {
    ...unary(FLOATS),
    attributes: { approximate: "string" },
    infer: (call) => {
      const approximate = call.string("approximate", "none");
      if (approximate !== "none" && approximate !== "tanh") {
        call.fail(`attribute 'approximate' is '${approximate}', expected 'none' or 'tanh'`);
      }
      return sameAsFirst(call);
    },
  },
  Identity: unary(ANY),
  Not: unary(["bool"]),
  And: broadcasting(["bool"]),
  Or: broadcasting(["bool"]),
  Equal: broadcasting(ANY, "bool"),
  Less: broadcasting(NUMBERS, "bool"),
  LessOrEqual: broadcasting(NUMBERS, "bool"),
  Greater: broadcasting(NUMBERS, "bool"),
  GreaterOrEqual: broadcasting(NUMBERS, "bool"),
  Where: {
    parameters: [parameter("condition", ["bool"]), parameter("X", ANY, "T"), parameter("Y", ANY, "T")],
    infer: (call) => [
      {
        dtype: call.x(1).dtype,
        shape: broadcastShapes([call.x(0).shape, call.x(1).shape, call.x(2).shape], (reason) =>
          call.fail(reason),
        ),
      },
    ],
  },
  Cast: {
    parameters: [parameter("input", ANY)],
    attributes: { to: "dtype" },
    infer: (call) => {
      const to = call.string("to", "") as DType;
      if (!ANY.includes(to)) call.fail(`attribute 'to' is '${to}', expected one of ${ANY.join(", ")}`);
      return [{ dtype: to, shape: call.x(0).shape }];
    },
  },
} satisfies Record<string, Operator>;
