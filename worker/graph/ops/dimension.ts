import { type Dim, dimTerms, type Shape } from "../dims.ts";
import type { Graph, Value } from "../ir.ts";
import { add, mul } from "./elementwise.ts";
import { int64s } from "./operand.ts";

/** The length of an axis when the program runs: int64 of shape [1]. */
export const lengthOf = (x: Value, axis: number): Value =>
  x.graph.op("Shape", [x], { start: axis, end: axis + 1 })[0]!;

/** A shape as an int64 vector: a constant where all is known, else computed from lengths of values that are there. */
export function shapeTensor(graph: Graph, shape: Shape): Value {
  if (shape.every((dim) => typeof dim === "number")) return int64s(graph, shape);
  const parts = shape.map((dim) => dimension(graph, dim));
  return parts.length === 1 ? parts[0]! : graph.op("Concat", parts, { axis: 0 })[0]!;
}

/** One dimension as an int64 vector of one element. */
function dimension(graph: Graph, dim: Dim): Value {
  const terms = dimTerms(dim).map(({ coefficient, symbols }) => {
    const lengths = symbols.map((symbol) => {
      const { value, axis } = graph.symbolSource(symbol);
      return lengthOf(value, axis);
    });
    const factors =
      coefficient === 1 && lengths.length > 0 ? lengths : [...lengths, int64s(graph, [coefficient])];
    return factors.reduce((product, factor) => mul(product, factor));
  });
  return terms.length === 0 ? int64s(graph, [0]) : terms.reduce((sum, term) => add(sum, term));
}
