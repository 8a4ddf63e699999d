import { Graph, matMul } from "../graph/index.ts";
import { architectureOf } from "../models/architectures.ts";
import { modelIn, type StoredModel } from "./model.ts";

/**
 * `gradient` [hidden, L] (columns are trigger positions) → `products` [vocab, L]: its product with every word vector.
 * The table is the left operand, which onnxruntime reads where it is mapped; as a right one it would be packed into a copy.
 */
export function rankProgram(model: StoredModel): Graph {
  const graph = new Graph();
  const slopes = graph.input("gradient", "float32", [model.config.hiddenSize, "L"]);
  const { weights } = modelIn(graph, model);
  const table = weights.get(architectureOf(model.config).wordTable(model.layout));
  graph.output("products", matMul(table, slopes));
  return graph;
}
