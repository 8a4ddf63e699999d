/**
 * The graph engine: programs as graphs of ONNX operators, checked while they are built, differentiated from graph to
 * graph, and written as ONNX files that onnxruntime executes. It knows no model and imports nothing outside this folder.
 *
 *     const graph = new Graph();
 *     const x = graph.input("x", "float32", ["B", 3]);
 *     const w = graph.weight("w", "float32", [3, 2], { file: "model.safetensors", offset: 1234, length: 24 });
 *     const y = tanh(matMul(x, w));                       // y.shape: ["B", 2]
 *     const [dx] = gradient(graph, reduceSum(y), [x]);
 *     graph.output("y", y);
 *     graph.output("dx", dx);
 *     const bytes = encodeOnnx(graph);                    // a program without the weights
 *
 * Where things are: `ir.ts` Graph, Value, Node · `dims.ts` numbers and symbols as dimensions · `operators.ts` what each
 * operator accepts and returns · `ops/` a builder per operator · `vjp.ts` its gradient rule · `gradient.ts` the walk ·
 * `verify.ts` what is legal · `onnx/` the file format.
 */
export { type Dim, formatShape, type Shape } from "./dims.ts";
export { bfloat16Bits, bytesPerElement, type DType, float16Bits, type TensorData } from "./dtype.ts";
export { GraphError, MissingGradientError } from "./errors.ts";
export { gradient } from "./gradient.ts";
export { halfPrecision } from "./half-precision.ts";
export {
  type Attributes,
  type AttributeValue,
  Graph,
  type GraphParts,
  type Node,
  type Value,
  type WeightLocation,
} from "./ir.ts";
export { encodeOnnx } from "./onnx/encode.ts";
export { IR_VERSION, OPSET, type OpType, operators } from "./operators.ts";
export { lengthOf, shapeTensor } from "./ops/dimension.ts";
export * from "./ops/elementwise.ts";
export * from "./ops/fused.ts";
export * from "./ops/indexing.ts";
export * from "./ops/matrix.ts";
export * from "./ops/movement.ts";
export * from "./ops/normalization.ts";
export { type Operand, scalar } from "./ops/operand.ts";
export * from "./ops/reduction.ts";
export { prune } from "./prune.ts";
export { type Tensor, tensor, tensorBytes } from "./tensor.ts";
export { verify } from "./verify.ts";
export { forwardOnly, nonDifferentiable, vjps } from "./vjp.ts";
