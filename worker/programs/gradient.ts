import { Graph, gradient, reduceSum } from "../graph/index.ts";
import { architectureOf } from "../models/architectures.ts";
import { headLogits } from "../models/head.ts";
import { rowLosses } from "./loss.ts";
import { modelIn, type StoredModel } from "./model.ts";

/**
 * `ids` int32 [B, T] without padding and `targets` [B, classes] → `logits` [B, classes] and `gradient` [B, T, hidden]: each row's own
 * loss by the word vector at each of its columns. Rows do not meet in the network, so the gradient of the sum holds them all.
 */
export function gradientProgram(model: StoredModel): Graph {
  const graph = new Graph();
  const architecture = architectureOf(model.config);
  const ids = graph.input("ids", "int32", ["B", "T"]);
  const targets = graph.input("targets", "float32", ["B", model.layout.classes]);
  const inside = modelIn(graph, model);
  const words = inside.weights.lookup(architecture.wordTable(model.layout), ids);
  const logits = headLogits(inside, architecture.vectors(inside, words, { task: model.task }));
  const [slope] = gradient(graph, reduceSum(rowLosses(logits, targets, "labels")), [words]);
  graph.output("logits", logits);
  graph.output("gradient", slope!);
  return graph;
}
