import { Graph } from "../graph/index.ts";
import { classificationHead, clsFeatures, embed, wordRows } from "../models/roberta.ts";
import { modelIn, type StoredModel } from "./model.ts";

/**
 * Score, encode and predict: `ids` int32 [B, T] without padding → `logits` [B, classes] and `features` [B, hidden], the head's
 * input. There is this one form for a whole search, since other forms round differently. Weights named in `fed`
 * are inputs of the program.
 */
export function forwardProgram(model: StoredModel, fed?: ReadonlySet<string>): Graph {
  const graph = new Graph();
  const ids = graph.input("ids", "int32", ["B", "T"]);
  const roberta = modelIn(graph, model, fed);
  const features = clsFeatures(roberta, embed(roberta, wordRows(roberta, ids)));
  graph.output("logits", classificationHead(roberta, features));
  graph.output("features", features);
  return graph;
}
