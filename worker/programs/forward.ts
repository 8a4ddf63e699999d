import { Graph } from "../graph/index.ts";
import { architectureOf } from "../models/architectures.ts";
import { featureSize, featuresOf, joinsSnippets } from "../models/features.ts";
import { headLogits } from "../models/head.ts";
import { wordsOf } from "./inputs.ts";
import { modelIn, type StoredModel } from "./model.ts";

/**
 * A classifier of single rows: `ids` int32 [B, T] without padding → `logits` [B, classes] and `features` [B, features], the head's
 * input. There is this one form for a whole search, since other forms round differently. Weights named in `fed`
 * are inputs of the program.
 */
export function forwardProgram(model: StoredModel, fed?: ReadonlySet<string>): Graph {
  const graph = new Graph();
  const inside = modelIn(graph, model, fed);
  const words = wordsOf(graph, inside);
  const features = architectureOf(model.config).vectors(inside, words, { task: model.task });
  graph.output("logits", headLogits(inside, features));
  graph.output("features", features);
  return graph;
}

/** Code search, and one snippet of a pair: `ids` int32 [B, T] without padding → `features` [B, hidden], the row's vector. */
export function vectorProgram(model: StoredModel, fed?: ReadonlySet<string>): Graph {
  const graph = new Graph();
  const inside = modelIn(graph, model, fed);
  const vectors = architectureOf(model.config).vectors(inside, wordsOf(graph, inside), { task: model.task });
  graph.output(
    "features",
    joinsSnippets(model.task, model.config) ? vectors : featuresOf(model.task, [vectors]),
  );
  return graph;
}

/** `features` [B, features] → `logits` [B, classes]: the head alone, for rows whose snippets were encoded apart. */
export function headProgram(model: StoredModel, fed?: ReadonlySet<string>): Graph {
  const graph = new Graph();
  const features = graph.input("features", "float32", ["B", featureSize(model.task, model.config)]);
  graph.output("logits", headLogits(modelIn(graph, model, fed), features));
  return graph;
}
