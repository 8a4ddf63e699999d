import { isFloat, toTensorData } from "./dtype.ts";
import { Graph, type Node, type Value } from "./ir.ts";
import type { OpType } from "./operators.ts";
import { cast } from "./ops/elementwise.ts";

/** Operators that are computed in float16: products, which take the time, and what stands between two of them. */
const HALF: ReadonlySet<OpType> = new Set(["MatMul", "Gemm", "Relu", "Gelu"]);

/** Operators that move elements and leave them as they are. */
const MOVES: ReadonlySet<OpType> = new Set([
  ...(["Transpose", "Reshape", "Slice", "Concat", "Split", "Expand", "Squeeze"] as const),
  ...(["Unsqueeze", "Gather", "Identity", "Shape"] as const),
]);

/** Largest finite float16. */
const LARGEST = 65_504;

/**
 * The same program with its products in float16. Sums, normalisations, softmax and everything else stay in float32, as do inputs and outputs, so
 * that only operands and results of products are rounded (what PyTorch calls autocast). Weights are cast from where they are stored, which onnxruntime
 * does once when it loads the program.
 */
export function halfPrecision(graph: Graph): Graph {
  const half = new Graph();
  const made = new Map<string, Value>();
  const define = (old: Value, value: Value): void => void made.set(old.name, value);
  for (const value of graph.inputs) define(value, half.input(value.name, value.dtype, value.shape));
  for (const { value, tensor } of graph.constants) define(value, half.constant(tensor));
  for (const { value, location } of graph.weights)
    define(value, half.weight(value.name, value.dtype, value.shape as number[], location));

  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const constants = new Map(graph.constants.map(({ value, tensor }) => [value.name, tensor]));
  const narrow = (old: Value): Value => {
    const tensor = constants.get(old.name);
    if (tensor?.dtype !== "float32") return cast(made.get(old.name)!, "float16");
    const within = Array.from(tensor.data as Float32Array, (x) => Math.max(-LARGEST, Math.min(LARGEST, x)));
    return half.constant({ dtype: "float16", shape: tensor.shape, data: toTensorData("float16", within) });
  };
  for (const node of graph.nodes) {
    const [result] = node.outputs;
    if (outputs.has(result!.name)) {
      define(result!, half.output(result!.name, cast(made.get(node.inputs[0]!.name)!, result!.dtype)));
      continue;
    }
    const operands = operandsOf(node, made, narrow);
    for (const [k, value] of half.op(node.opType, operands, node.attributes).entries())
      define(node.outputs[k]!, value);
  }
  return half;
}

function operandsOf(
  { opType, inputs }: Node,
  made: ReadonlyMap<string, Value>,
  narrow: (old: Value) => Value,
): (Value | null)[] {
  const values = inputs.map((input) => (input === null ? null : made.get(input.name)!));
  const isHalf = HALF.has(opType);
  const narrowed = values.filter((value) => value?.dtype === "float16").length;
  const floats = values.filter((value) => value !== null && isFloat(value.dtype)).length;
  // A move takes what comes, unless its operands differ.
  if (MOVES.has(opType) && narrowed === floats) return values;
  return values.map((value, k) => {
    if (value === null || !isFloat(value.dtype) || opType === "Cast") return value;
    if (isHalf) return value.dtype === "float16" ? value : narrow(inputs[k]!);
    return value.dtype === "float16" && inputs[k]!.dtype !== "float16"
      ? cast(value, inputs[k]!.dtype)
      : value;
  });
}
