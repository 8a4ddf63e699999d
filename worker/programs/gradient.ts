import { Graph, gradient, reduceSum } from "../graph/index.ts";
import { classificationHead, clsFeatures, embed, wordRows } from "../models/roberta.ts";
import { rowLosses } from "./loss.ts";
import { modelIn, type StoredModel } from "./model.ts";

/**
 * `ids` int32 [B, T] without padding and `targets` [B, classes] → `logits` [B, classes] and `gradient` [B, T, hidden]: each row's own
 * loss by the word vector at each of its columns. Rows do not meet in the network, so the gradient of the sum holds them all.
 */
export function gradientProgram(model: StoredModel): Graph {
  const graph = new Graph();
  const ids = graph.input("ids", "int32", ["B", "T"]);
  const targets = graph.input("targets", "float32", ["B", model.layout.classes]);
  const roberta = modelIn(graph, model);
  const words = wordRows(roberta, ids);
  const logits = classificationHead(roberta, clsFeatures(roberta, embed(roberta, words)));
  const [slope] = gradient(graph, reduceSum(rowLosses(logits, targets, "labels")), [words]);
  graph.output("logits", logits);
  graph.output("gradient", slope!);
  return graph;
}
