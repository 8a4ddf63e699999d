import { expect, test } from "vitest";
import { Graph, halfPrecision, matMul, mul, softmax, tensor, verify } from "../../../worker/graph/index.ts";
import { runProgram } from "../../support/run-program.ts";

/** Softmax of x · w, times two, with a weight that float16 cannot hold. */
function program(): Graph {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["B", 2]);
  const w = graph.constant(tensor("float32", [2, 2], [1 / 3, 70_000, 2, -1 / 7]));
  const product = matMul(x, w);
  graph.output("product", product);
  graph.output("shares", mul(softmax(product), 2));
  return graph;
}

test("products are computed in float16 and the rest in float32, and what comes out is float32", () => {
  const half = halfPrecision(program());
  verify(half);

  const dtypes = half.nodes.map(({ opType, outputs }) => `${opType} ${outputs[0]!.dtype}`);
  expect(dtypes.filter((node) => node.startsWith("MatMul"))).toEqual(["MatMul float16"]);
  expect(dtypes.filter((node) => node.startsWith("Softmax"))).toEqual(["Softmax float32"]);
  expect(dtypes.filter((node) => node.startsWith("Mul"))).toEqual(["Mul float32"]);
  expect(half.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape }))).toEqual([
    { name: "x", dtype: "float32", shape: ["B", 2] },
  ]);
  expect(half.outputs.map(({ name, dtype }) => `${name} ${dtype}`)).toEqual([
    "product float32",
    "shares float32",
  ]);
});

test("operands and results are rounded to float16, constants beyond its range to its largest number", async () => {
  const { product } = await runProgram(halfPrecision(program()), {
    x: { dtype: "float32", shape: [1, 2], data: Float32Array.of(0.5, 0) },
  });

  const [first, second] = product!.data as Float32Array;
  // The float16 next to 1/3 is 0.333251953125, and half of it is one too.
  expect(first).toBe(0.1666259765625);
  expect(second).toBe(65_504 / 2);
});
