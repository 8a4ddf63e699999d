import type { Value } from "../ir.ts";
import {
  add,
  cast,
  div,
  equal,
  erf,
  exp,
  greater,
  log,
  mul,
  neg,
  pow,
  sigmoid,
  sign,
  sub,
  tanh,
  where,
} from "../ops/elementwise.ts";
import { sumToShape } from "../sum-to-shape.ts";
import { broadcasting, type Rule, type Vjp } from "./rule.ts";

const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBE = 0.044715;

/** d gelu(x)/dx */
export function geluSlope(x: Value, approximate: unknown): Value {
  if (approximate === "tanh") {
    const square = mul(x, x);
    const t = tanh(mul(mul(GELU_SCALE, x), add(1, mul(GELU_CUBE, square))));
    const inner = mul(GELU_SCALE, add(1, mul(3 * GELU_CUBE, square)));
    return mul(0.5, add(add(1, t), mul(mul(x, sub(1, mul(t, t))), inner)));
  }
  const distribution = mul(0.5, add(1, erf(mul(x, Math.SQRT1_2))));
  const density = mul(1 / Math.sqrt(2 * Math.PI), exp(mul(-0.5, mul(x, x))));
  return add(distribution, mul(x, density));
}

/** Max and Min pass g to the operand that was chosen; tied operands share it. */
const chosen: Rule = (g, { node, x, y }, input) => {
  const isChosen = (value: Value) => cast(equal(value, y[0]), g.dtype);
  const ties = node.inputs.map((operand) => isChosen(operand!)).reduce((sum, one) => add(sum, one));
  const operand = x[input as 0];
  return sumToShape(mul(g, div(isChosen(operand), ties)), operand.shape);
};

export const elementwise = {
  Add: broadcasting(
    (g) => g,
    (g) => g,
  ),
  Sub: broadcasting(
    (g) => g,
    (g) => neg(g),
  ),
  Mul: broadcasting(
    (g, { x: [, b] }) => mul(g, b),
    (g, { x: [a] }) => mul(g, a),
  ),
  Div: broadcasting(
    (g, { x: [, b] }) => div(g, b),
    (g, { x: [, b], y: [y] }) => neg(div(mul(g, y), b)),
  ),
  Pow: broadcasting(
    (g, { x: [a, b] }) => mul(g, mul(b, pow(a, sub(b, 1)))),
    (g, { x: [a], y: [y] }) => mul(g, mul(y, log(a))),
  ),
  Max: chosen,
  Min: chosen,
  Neg: [(g) => neg(g)],
  Abs: [(g, { x: [x] }) => mul(g, sign(x))],
  Sqrt: [(g, { y: [y] }) => div(mul(0.5, g), y)],
  Exp: [(g, { y: [y] }) => mul(g, y)],
  Log: [(g, { x: [x] }) => div(g, x)],
  Reciprocal: [(g, { y: [y] }) => neg(mul(g, mul(y, y)))],
  Relu: [(g, { x: [x] }) => where(greater(x, 0), g, 0)],
  Tanh: [(g, { y: [y] }) => mul(g, sub(1, mul(y, y)))],
  Erf: [(g, { x: [x] }) => mul(g, mul(2 / Math.sqrt(Math.PI), exp(neg(mul(x, x)))))],
  Sigmoid: [(g, { y: [y] }) => mul(g, mul(y, sub(1, y)))],
  Softplus: [(g, { x: [x] }) => mul(g, sigmoid(x))],
  Gelu: [(g, { x: [x], attributes }) => mul(g, geluSlope(x, attributes.approximate))],
  Identity: [(g) => g],
  // Float to float: from an integer nothing flows, and nothing flows into one.
  Cast: [(g, { x: [x] }) => cast(g, x.dtype)],
  Where: [
    null,
    ...broadcasting(
      (g, { x: [condition] }) => where(condition, g, 0),
      (g, { x: [condition] }) => where(condition, 0, g),
    ),
  ],
} satisfies Record<string, Vjp>;
