import { Graph } from "../graph/index.ts";
import { architectureOf } from "../models/architectures.ts";
import { featureSize, featuresOf, joinsSnippets } from "../models/features.ts";
import { headLogits } from "../models/head.ts";
import { distinctTokens } from "./inputs.ts";
import { type ModelOptions, modelIn, type StoredModel } from "./model.ts";

/**
 * A classifier of single rows, given by their distinct tokens (`distinctTokens`) → `logits` [B, classes] and `features` [B, features], the head's
 * input. One form serves a whole search, since the others round differently.
 */
export function forwardProgram(model: StoredModel, options?: ModelOptions): Graph {
  const graph = new Graph();
  const inside = modelIn(graph, model, options);
  const { words, distinct } = distinctTokens(graph, inside);
  const features = architectureOf(model.config).vectors(inside, words, { task: model.task, distinct });
  graph.output("logits", headLogits(inside, features));
  graph.output("features", features);
  return graph;
}

/** Code search, and one snippet of a pair, given alike → `features` [B, hidden], the row's vector. */
export function vectorProgram(model: StoredModel, options?: ModelOptions): Graph {
  const graph = new Graph();
  const inside = modelIn(graph, model, options);
  const { words, distinct } = distinctTokens(graph, inside);
  const vectors = architectureOf(model.config).vectors(inside, words, { task: model.task, distinct });
  graph.output(
    "features",
    joinsSnippets(model.task, model.config) ? vectors : featuresOf(model.task, [vectors]),
  );
  return graph;
}

/** `features` [B, features] → `logits` [B, classes]: the head alone, for rows whose snippets were encoded apart. */
export function headProgram(model: StoredModel, options?: ModelOptions): Graph {
  const graph = new Graph();
  const features = graph.input("features", "float32", ["B", featureSize(model.task, model.config)]);
  graph.output("logits", headLogits(modelIn(graph, model, options), features));
  return graph;
}
