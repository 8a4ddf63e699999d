import type { Graph, Value } from "../graph/index.ts";
import type { DistinctTokens, ModelInGraph } from "../models/architecture.ts";
import { architectureOf } from "../models/architectures.ts";

/** Word vectors [B, T, hidden] of the input `name`, ids int32 [B, T] without padding. */
export function wordsOf(graph: Graph, model: ModelInGraph, name = "ids"): Value {
  const ids = graph.input(name, "int32", ["B", "T"]);
  return model.weights.lookup(architectureOf(model.config).wordTable(model.layout), ids);
}

/**
 * Rows of one length, without padding, by the tokens in which they differ: `ids` and `columns` int32 [D], which of these stands at each
 * place, `places` int32 [B, T], and a place of each, `origins` int32 [D]. With the word vectors of the tokens, [D, hidden].
 */
export function distinctTokens(
  graph: Graph,
  model: ModelInGraph,
): { readonly words: Value; readonly distinct: DistinctTokens } {
  const ids = graph.input("ids", "int32", ["D"]);
  const columns = graph.input("columns", "int32", ["D"]);
  const places = graph.input("places", "int32", ["B", "T"]);
  const origins = graph.input("origins", "int32", ["D"]);
  const words = model.weights.lookup(architectureOf(model.config).wordTable(model.layout), ids);
  return { words, distinct: { columns, places, origins } };
}
