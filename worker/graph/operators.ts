import { GraphError } from "./errors.ts";
import type { Node } from "./ir.ts";
import { checkAttributes, checkInputs, InferContext, type Operator, type Result } from "./operators/call.ts";
import { elementwise } from "./operators/elementwise.ts";
import { fused } from "./operators/fused.ts";
import { indexing } from "./operators/indexing.ts";
import { matrix } from "./operators/matrix.ts";
import { movement } from "./operators/movement.ts";
import { normalization } from "./operators/normalization.ts";
import { reduction } from "./operators/reduction.ts";

/** The version of the ONNX operator set that programs are written in, and the file format version that goes with it. */
export const OPSET = 20;
export const IR_VERSION = 9;

/**
 * What every operator accepts and returns: parameters, attributes, and the shapes of its results. An operator that is
 * not here does not exist. https://github.com/onnx/onnx/blob/v1.15.0/docs/Operators.md and
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 */
export const operators = {
  ...elementwise,
  ...reduction,
  ...normalization,
  ...matrix,
  ...movement,
  ...indexing,
  ...fused,
};

export type OpType = keyof typeof operators;

/** The result types and shapes of a node; GraphError where operator, inputs or attributes are not legal. */
export function inferNode(node: Omit<Node, "outputs">): readonly Result[] {
  const operator: Operator | undefined = Object.hasOwn(operators, node.opType)
    ? operators[node.opType]
    : undefined;
  if (operator === undefined)
    throw new GraphError(node.opType, node.name, "is not an operator that is known");
  checkInputs(operator, node);
  checkAttributes(operator, node);
  return operator.infer(new InferContext(operator, node));
}
