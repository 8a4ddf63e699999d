import { formatShape, sameShape } from "./dims.ts";
import { isFloat } from "./dtype.ts";
import { GraphError, MissingGradientError } from "./errors.ts";
import type { Graph, Node, Value } from "./ir.ts";
import { add } from "./ops/elementwise.ts";
import { full } from "./ops/movement.ts";
import { forwardOnly, nonDifferentiable, vjps } from "./vjp.ts";
import type { Positions } from "./vjps/rule.ts";

/**
 * Reverse-mode differentiation: appends nodes that compute ∂loss/∂v for every v of `wrt` (inputs, weights or
 * interior values) and returns them in that order, each of v's shape and dtype; zeros where loss does not depend on v.
 * `seed` is the gradient flowing into loss, of its shape; without it loss must have one element.
 * Throws MissingGradientError where the way from `wrt` to loss leads through an operator without a rule.
 */
export function gradient(graph: Graph, loss: Value, wrt: readonly Value[], seed?: Value): readonly Value[] {
  checkEnds(graph, loss, wrt, seed);
  const reached = dependents(graph.nodes, wrt);
  const gradients = new Map<string, Value>([[loss.name, seed ?? full(graph, loss.shape, 1, loss.dtype)]]);
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => gradients.has(output.name) && reached.has(output.name))) continue;
    graph.scope(`gradient/${node.name}`, () => {
      for (const [index, input] of node.inputs.entries()) {
        if (input === null || !reached.has(input.name)) continue;
        const g = towardInput(node, index, gradients);
        const others = gradients.get(input.name);
        gradients.set(input.name, others === undefined ? g : add(others, g));
      }
    });
  }
  return wrt.map((value) => gradients.get(value.name) ?? full(graph, value.shape, 0, value.dtype));
}

function towardInput(node: Node, index: number, gradients: ReadonlyMap<string, Value>): Value {
  const rules = vjps[node.opType];
  const rule = typeof rules === "function" ? rules : rules?.[index];
  if (!rule) throw new MissingGradientError(node.opType, node.name, forwardOnly[node.opType]);
  const gradientOf = (output: number): Value => {
    const { name, graph, shape, dtype } = node.outputs[output]!;
    return gradients.get(name) ?? full(graph, shape, 0, dtype);
  };
  const forward = {
    node,
    x: node.inputs as unknown as Positions,
    y: node.outputs as unknown as Positions,
    attributes: node.attributes,
    gradientOf,
    flowsInto: (output: number) => gradients.has(node.outputs[output]?.name ?? ""),
  };
  const g = rule(gradientOf(0), forward, index);
  const input = node.inputs[index]!;
  if (g.dtype !== input.dtype || !sameShape(g.shape, input.shape)) {
    const reason = `the gradient of '${input.name}' is ${g.dtype} ${formatShape(g.shape)}`;
    throw new GraphError(node.opType, node.name, `${reason}, not ${input.dtype} ${formatShape(input.shape)}`);
  }
  return g;
}

/** Names of the float values through which a change of `wrt` moves on. */
function dependents(nodes: readonly Node[], wrt: readonly Value[]): ReadonlySet<string> {
  const reached = new Set(wrt.map((value) => value.name));
  for (const node of nodes) {
    if (nonDifferentiable.has(node.opType)) continue;
    if (!node.inputs.some((input) => input !== null && reached.has(input.name))) continue;
    for (const output of node.outputs) if (isFloat(output.dtype)) reached.add(output.name);
  }
  return reached;
}

function checkEnds(graph: Graph, loss: Value, wrt: readonly Value[], seed: Value | undefined): void {
  const fail = (value: Value, reason: string): never => {
    throw new GraphError("gradient", value.name, reason);
  };
  for (const value of [loss, ...wrt]) {
    if (value.graph !== graph) fail(value, "belongs to another graph");
    if (!isFloat(value.dtype)) fail(value, `is ${value.dtype}: only floats have gradients`);
  }
  if (seed === undefined && loss.shape.some((dim) => dim !== 1)) {
    fail(loss, `has shape ${formatShape(loss.shape)}: without a seed a loss has one element`);
  }
  if (seed !== undefined && (seed.dtype !== loss.dtype || !sameShape(seed.shape, loss.shape))) {
    fail(seed, `a seed has the loss's dtype and shape, ${loss.dtype} ${formatShape(loss.shape)}`);
  }
}
