import { Graph } from "../graph/index.ts";
import { architectureOf } from "../models/architectures.ts";
import { headLogits } from "../models/head.ts";
import { modelIn, type StoredModel } from "./model.ts";

/**
 * Score, encode and predict: `ids` int32 [B, T] without padding → `logits` [B, classes] and `features` [B, features], the head's
 * input. There is this one form for a whole search, since other forms round differently. Weights named in `fed`
 * are inputs of the program.
 */
export function forwardProgram(model: StoredModel, fed?: ReadonlySet<string>): Graph {
  const graph = new Graph();
  const architecture = architectureOf(model.config);
  const ids = graph.input("ids", "int32", ["B", "T"]);
  const inside = modelIn(graph, model, fed);
  const words = inside.weights.lookup(architecture.wordTable(model.layout), ids);
  const features = architecture.vectors(inside, words, { task: model.task });
  graph.output("logits", headLogits(inside, features));
  graph.output("features", features);
  return graph;
}
