import type { Graph, Value } from "../graph/index.ts";
import type { ModelInGraph } from "../models/architecture.ts";
import { architectureOf } from "../models/architectures.ts";

/** Word vectors [B, T, hidden] of the input `name`, ids int32 [B, T] without padding. */
export function wordsOf(graph: Graph, model: ModelInGraph, name = "ids"): Value {
  const ids = graph.input(name, "int32", ["B", "T"]);
  return model.weights.lookup(architectureOf(model.config).wordTable(model.layout), ids);
}
