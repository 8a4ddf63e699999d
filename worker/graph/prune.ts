import type { GraphParts, Node } from "./ir.ts";

/** The graph without the nodes, constants and weights that no output needs. Inputs stay: callers feed them. */
export function prune(graph: GraphParts): GraphParts {
  const needed = new Set(graph.outputs.map((output) => output.name));
  const nodes: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output.name))) continue;
    nodes.push(node);
    for (const input of node.inputs) if (input !== null) needed.add(input.name);
  }
  return {
    inputs: graph.inputs,
    constants: graph.constants.filter(({ value }) => needed.has(value.name)),
    weights: graph.weights.filter(({ value }) => needed.has(value.name)),
    nodes: nodes.reverse(),
    outputs: graph.outputs,
  };
}
