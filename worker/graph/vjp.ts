import type { OpType } from "./operators.ts";
import { add, mul } from "./ops/elementwise.ts";
import { sumToShape } from "./sum-to-shape.ts";
import { elementwise, geluSlope } from "./vjps/elementwise.ts";
import { indexing } from "./vjps/indexing.ts";
import { matrix } from "./vjps/matrix.ts";
import { movement } from "./vjps/movement.ts";
import { normalization } from "./vjps/normalization.ts";
import { reduction } from "./vjps/reduction.ts";
import type { Vjp } from "./vjps/rule.ts";

// Every operator is in exactly one of the three tables below.

/** The gradient rules: how g, the gradient flowing into a node's output, becomes the gradients of its inputs. */
export const vjps: Readonly<Partial<Record<OpType, Vjp>>> = {
  ...elementwise,
  ...reduction,
  ...normalization,
  ...matrix,
  ...movement,
  ...indexing,
  BiasGelu: [
    (g, { x: [a, b] }) => mul(g, geluSlope(add(a, b), "none")),
    (g, { x: [a, b] }) => sumToShape(mul(g, geluSlope(add(a, b), "none")), b.shape),
  ],
};

/** Constant almost everywhere, or without a float input: no gradient flows, and that is right. */
export const nonDifferentiable: ReadonlySet<OpType> = new Set<OpType>([
  "And",
  "ArgMax",
  "ConstantOfShape",
  "Equal",
  "Greater",
  "GreaterOrEqual",
  "Less",
  "LessOrEqual",
  "Not",
  "Or",
  "Range",
  "Shape",
  "Sign",
]);

/** Differentiable in mathematics, not here: a gradient through them is an error that says what to use instead. */
export const forwardOnly: Readonly<Partial<Record<OpType, string>>> = {
  MultiHeadAttention: "build attention from MatMul and Softmax where a gradient is needed",
  SimplifiedLayerNormalization: "build it from ReduceMean, Sqrt and Div where a gradient is needed",
};
