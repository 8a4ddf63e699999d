import { expect, test } from "vitest";
import {
  add,
  Graph,
  type GraphParts,
  gradient,
  matMul,
  mul,
  reduceSum,
  tensor,
  verify,
  type WeightLocation,
} from "../../../worker/graph/index.ts";

function small(location: WeightLocation = { file: "model.bin", offset: 64, length: 24 }): Graph {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["B", 2]);
  const w = graph.weight("w", "float32", [2, 3], location);
  graph.output("y", add(mul(matMul(x, w), 2), 1));
  return graph;
}

/** The graph with a part replaced, as a broken pass would leave it. */
const broken = (change: (parts: GraphParts) => Partial<GraphParts>): GraphParts => {
  const { inputs, constants, weights, nodes, outputs } = small();
  const parts = { inputs, constants, weights, nodes, outputs };
  return { ...parts, ...change(parts) };
};

test("a built graph is legal, with its gradient too", () => {
  const graph = small();
  graph.output("dw", gradient(graph, reduceSum(graph.outputs[0]!), [graph.weights[0]!.value])[0]!);

  expect(() => verify(graph)).not.toThrow();
});

test.each<{ name: string; graph: GraphParts; message: RegExp }>([
  {
    name: "a node before the one it reads",
    graph: broken(({ nodes }) => ({ nodes: nodes.toReversed() })),
    message: /^Identity 'output\/y': input 'Add_\d:0' is used before it is defined$/,
  },
  {
    name: "a node twice",
    graph: broken(({ nodes }) => ({ nodes: [nodes[0]!, ...nodes] })),
    message: /^MatMul 'MatMul_0:0': the name is defined twice$/,
  },
  {
    name: "a recorded shape that is not the inferred one",
    graph: broken(({ nodes }) => {
      const [first, ...others] = nodes;
      const outputs = [{ ...first!.outputs[0]!, shape: ["B", 4] }];
      return { nodes: [{ ...first!, outputs }, ...others] };
    }),
    message: /^MatMul 'MatMul_0': result 0 is recorded as float32 \[B,4\], but it is float32 \[B,3\]$/,
  },
  {
    name: "an output that nothing computes",
    graph: broken(({ nodes }) => ({ nodes: nodes.slice(0, -1) })),
    message: /^output 'y': is not a value of the graph$/,
  },
  {
    name: "an operator from elsewhere",
    graph: broken(({ nodes }) => ({ nodes: [{ ...nodes[0]!, opType: "Conv" as "Add" }, ...nodes.slice(1)] })),
    message: /^Conv 'MatMul_0': is not an operator that is known$/,
  },
  {
    name: "a constant that holds something else",
    graph: broken(({ constants }) => ({
      constants: constants.map(({ value }) => ({ value, tensor: tensor("int32", [], [1]) })),
    })),
    message: /^constant 'constant_0': is float32 \[\] but holds int32 \[\]$/,
  },
  {
    name: "a weight of another length",
    graph: small({ file: "model.bin", offset: 0, length: 20 }),
    message: /^weight 'w': length 20 is not the 24 bytes of float32 \[2,3\]$/,
  },
  {
    name: "a weight outside the folder",
    graph: small({ file: "../model.bin", offset: 0, length: 24 }),
    message: /^weight 'w': file '\.\.\/model\.bin' is not inside the program's folder$/,
  },
  {
    name: "a weight at no position",
    graph: small({ file: "model.bin", offset: -4, length: 24 }),
    message: /^weight 'w': offset -4 is not a position in a file$/,
  },
])("refuses $name", ({ graph, message }) => {
  expect(() => verify(graph)).toThrow(message);
});
