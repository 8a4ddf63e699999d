import type { DType } from "../dtype.ts";
import type { Value } from "../ir.ts";
import { apply, asValues, type Operand } from "./operand.ts";

// Each builder adds the ONNX operator of its name; operands broadcast as in NumPy.
export const add = (a: Operand, b: Operand): Value => apply("Add", [a, b]);
export const sub = (a: Operand, b: Operand): Value => apply("Sub", [a, b]);
export const mul = (a: Operand, b: Operand): Value => apply("Mul", [a, b]);
export const div = (a: Operand, b: Operand): Value => apply("Div", [a, b]);
/** aᵇ. Its gradient toward b is defined for a > 0 only. */
export const pow = (a: Operand, b: Operand): Value => apply("Pow", [a, b]);
/** The largest of the operands, element by element; tied operands share the gradient. */
export const max = (...operands: readonly Operand[]): Value => apply("Max", operands);
export const min = (...operands: readonly Operand[]): Value => apply("Min", operands);

export const neg = (x: Value): Value => apply("Neg", [x]);
export const abs = (x: Value): Value => apply("Abs", [x]);
/** −1, 0 or 1; no gradient flows. */
export const sign = (x: Value): Value => apply("Sign", [x]);
export const sqrt = (x: Value): Value => apply("Sqrt", [x]);
export const exp = (x: Value): Value => apply("Exp", [x]);
export const log = (x: Value): Value => apply("Log", [x]);
export const reciprocal = (x: Value): Value => apply("Reciprocal", [x]);
export const relu = (x: Value): Value => apply("Relu", [x]);
export const tanh = (x: Value): Value => apply("Tanh", [x]);
export const erf = (x: Value): Value => apply("Erf", [x]);
export const sigmoid = (x: Value): Value => apply("Sigmoid", [x]);
/** ln(1 + eˣ) */
export const softplus = (x: Value): Value => apply("Softplus", [x]);
/** x·Φ(x), exact, or by the tanh formula (GPT-2's and T5's "gelu_new"). */
export const gelu = (x: Value, approximate: "none" | "tanh" = "none"): Value =>
  x.graph.op("Gelu", [x], { approximate })[0]!;
export const identity = (x: Value): Value => apply("Identity", [x]);

export const not = (x: Value): Value => apply("Not", [x]);
export const and = (a: Value, b: Value): Value => apply("And", [a, b]);
export const or = (a: Value, b: Value): Value => apply("Or", [a, b]);
export const equal = (a: Operand, b: Operand): Value => apply("Equal", [a, b]);
export const less = (a: Operand, b: Operand): Value => apply("Less", [a, b]);
export const lessOrEqual = (a: Operand, b: Operand): Value => apply("LessOrEqual", [a, b]);
export const greater = (a: Operand, b: Operand): Value => apply("Greater", [a, b]);
export const greaterOrEqual = (a: Operand, b: Operand): Value => apply("GreaterOrEqual", [a, b]);

/** x where the condition holds, y elsewhere. At least one of x and y is a value. */
export function where(condition: Value, x: Operand, y: Operand): Value {
  const [a, b] = asValues([x, y]);
  return condition.graph.op("Where", [condition, a!, b!])[0]!;
}

/** The same elements in another dtype; x itself where it has that dtype already. */
export const cast = (x: Value, to: DType): Value =>
  x.dtype === to ? x : x.graph.op("Cast", [x], { to })[0]!;
