import * as g from "../../../../worker/graph/index.ts";
import type { VjpCase } from "../check-vjp.ts";

/** Equal shapes, and every way in which one operand broadcasts against the other. */
const PAIRS: readonly (readonly (readonly number[])[])[] = [
  [
    [2, 3],
    [2, 3],
  ],
  [[2, 3], [3]],
  [[3], [2, 3]],
  [
    [2, 1, 3],
    [4, 1],
  ],
  [[2, 3], []],
  [
    [1, 1],
    [2, 3],
  ],
];

const pairs = (op: g.OpType, build: VjpCase["build"], rest: Partial<VjpCase> = {}): VjpCase[] =>
  PAIRS.map((shapes) => ({ op, shapes, build, ...rest }));

const each = (op: g.OpType, build: VjpCase["build"], rest: Partial<VjpCase> = {}): VjpCase[] =>
  [[], [5], [2, 1, 3]].map((shape) => ({ op, shapes: [shape], build, ...rest }));

export const elementwise: VjpCase[] = [
  ...pairs("Add", (a, b) => g.add(a!, b!)),
  ...pairs("Sub", (a, b) => g.sub(a!, b!)),
  ...pairs("Mul", (a, b) => g.mul(a!, b!)),
  ...pairs("Div", (a, b) => g.div(a!, b!), { domain: [0.5, 2] }),
  ...pairs("Pow", (a, b) => g.pow(a!, b!), { domain: [0.5, 2] }),
  ...pairs("Max", (a, b) => g.max(a!, b!), { spread: true }),
  ...pairs("Min", (a, b) => g.min(a!, b!), { spread: true }),
  {
    op: "Max",
    note: "three operands",
    shapes: [[2, 3], [3], [2, 1]],
    build: (a, b, c) => g.max(a!, b!, c!),
    spread: true,
  },
  { op: "Mul", note: "an operand with itself", shapes: [[2, 3]], build: (x) => g.mul(x!, x!) },
  { op: "Pow", note: "a negative base and a constant exponent", shapes: [[4]], build: (x) => g.pow(x!, 3) },
  ...pairs("Where", (a, b) => g.where(g.less(a!, b!), a!, b!), { spread: true }),
  {
    op: "Where",
    note: "a condition that broadcasts",
    shapes: [[2, 3], [3], [2, 1]],
    build: (a, b, c) => g.where(g.greater(c!, 0), a!, b!),
    spread: true,
  },
  ...each("Neg", (x) => g.neg(x!)),
  ...each("Abs", (x) => g.abs(x!), { spread: true }),
  ...each("Sqrt", (x) => g.sqrt(x!), { domain: [0.5, 2] }),
  ...each("Exp", (x) => g.exp(x!)),
  ...each("Log", (x) => g.log(x!), { domain: [0.5, 2] }),
  ...each("Reciprocal", (x) => g.reciprocal(x!), { domain: [0.5, 2] }),
  ...each("Relu", (x) => g.relu(x!), { spread: true }),
  ...each("Tanh", (x) => g.tanh(x!)),
  ...each("Erf", (x) => g.erf(x!), { dtype: "float32" }),
  ...each("Sigmoid", (x) => g.sigmoid(x!)),
  ...each("Softplus", (x) => g.softplus(x!), { dtype: "float32" }),
  ...each("Gelu", (x) => g.gelu(x!), { dtype: "float32" }),
  ...each("Gelu", (x) => g.gelu(x!, "tanh"), { dtype: "float32", note: "by tanh" }),
  ...each("Identity", (x) => g.identity(g.mul(x!, 3))),
  {
    op: "Cast",
    shapes: [[2, 3]],
    dtype: "float32",
    build: (x) => g.cast(g.exp(g.cast(x!, "float64")), "float32"),
  },
];
