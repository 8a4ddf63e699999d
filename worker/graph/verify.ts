import { formatShape, isSymbol, sameShape } from "./dims.ts";
import { ANY, bytesPerElement } from "./dtype.ts";
import { GraphError } from "./errors.ts";
import type { GraphParts, Node, Value } from "./ir.ts";
import { inferNode } from "./operators.ts";

/**
 * What a legal graph is: every name is defined once and before its use, every node is a known operator with the
 * dtypes, attributes and shapes that the operator allows, recorded types and shapes are the inferred ones, weights lie
 * inside their folder and are as long as their shape says, and outputs are computed. Throws GraphError otherwise.
 */
export function verify(graph: GraphParts): void {
  const defined = new Map<string, Value>();
  const define = (opType: string, value: Value) => {
    if (!ANY.includes(value.dtype)) throw new GraphError(opType, value.name, `has no dtype '${value.dtype}'`);
    if (defined.has(value.name)) throw new GraphError(opType, value.name, "the name is defined twice");
    defined.set(value.name, value);
  };

  for (const value of graph.inputs) {
    define("input", value);
    const odd = value.shape.find((dim) => typeof dim === "string" && !isSymbol(dim));
    if (odd !== undefined) {
      throw new GraphError("input", value.name, `dimension '${odd}' is not a plain symbol`);
    }
  }
  for (const { value, tensor } of graph.constants) {
    define("constant", value);
    if (tensor.dtype !== value.dtype || !sameShape(tensor.shape, value.shape)) {
      const held = `${tensor.dtype} ${formatShape(tensor.shape)}`;
      throw new GraphError("constant", value.name, `is ${typeOf(value)} but holds ${held}`);
    }
  }
  for (const weight of graph.weights) {
    define("weight", weight.value);
    checkLocation(weight);
  }
  for (const node of graph.nodes) {
    for (const input of node.inputs) checkUse(node, input, defined);
    checkResults(node);
    for (const output of node.outputs) define(node.opType, output);
  }
  for (const output of graph.outputs) {
    if (defined.get(output.name) !== output) {
      throw new GraphError("output", output.name, "is not a value of the graph");
    }
  }
}

const typeOf = ({ dtype, shape }: Pick<Value, "dtype" | "shape">): string => `${dtype} ${formatShape(shape)}`;

function checkUse(node: Node, input: Value | null, defined: ReadonlyMap<string, Value>): void {
  if (input === null || defined.get(input.name) === input) return;
  throw new GraphError(node.opType, node.name, `input '${input.name}' is used before it is defined`);
}

function checkResults(node: Node): void {
  const inferred = inferNode(node);
  if (inferred.length !== node.outputs.length) {
    throw new GraphError(
      node.opType,
      node.name,
      `has ${node.outputs.length} results, not ${inferred.length}`,
    );
  }
  for (const [index, output] of node.outputs.entries()) {
    const expected = inferred[index]!;
    if (expected.dtype !== output.dtype || !sameShape(expected.shape, output.shape)) {
      const reason = `result ${index} is recorded as ${typeOf(output)}, but it is ${typeOf(expected)}`;
      throw new GraphError(node.opType, node.name, reason);
    }
  }
}

function checkLocation({ value, location }: GraphParts["weights"][number]): void {
  const { file, offset, length } = location;
  const fail = (reason: string): never => {
    throw new GraphError("weight", value.name, reason);
  };
  // onnxruntime refuses files outside the program's folder.
  if (file === "" || /^[/\\]|^[A-Za-z]:/.test(file) || file.split(/[/\\]/).includes("..")) {
    fail(`file '${file}' is not inside the program's folder`);
  }
  if (!Number.isSafeInteger(offset) || offset < 0) fail(`offset ${offset} is not a position in a file`);
  const count = value.shape.reduce<number>((product, dim) => product * Number(dim), 1);
  const expected = count * bytesPerElement[value.dtype];
  if (length !== expected) fail(`length ${length} is not the ${expected} bytes of ${typeOf(value)}`);
}
