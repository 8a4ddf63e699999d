import { Graph, gradient, reduceSum, type Value } from "../graph/index.ts";
import { architectureOf } from "../models/architectures.ts";
import { featuresOf, joinsSnippets } from "../models/features.ts";
import { headLogits } from "../models/head.ts";
import { wordsOf } from "./inputs.ts";
import { rowLosses } from "./loss.ts";
import { modelIn, type StoredModel } from "./model.ts";

export interface GradientProgramOptions {
  readonly objective: "label" | "vectors";
  /** The decoder reads ids of its own, `decoder_ids`, through which nothing flows back. */
  readonly decoderApart: boolean;
}

/**
 * The gradient by the word vector at each column of rows without padding, `ids` int32 [B, T] → `gradient` [B, T, hidden]. Rows do not
 * meet in the network, so the gradient of a sum over rows holds the gradient of each.
 *
 * "label": `targets` [B, classes] → `logits` [B, classes]; of each row's own loss. A second snippet comes as its vector, `second` [B, hidden].
 * "vectors": `slopes` [B, hidden], ∂loss/∂vector → `features` [B, hidden]; of that loss.
 */
export function gradientProgram(
  model: StoredModel,
  { objective, decoderApart }: GradientProgramOptions,
): Graph {
  const graph = new Graph();
  const { task, config, layout } = model;
  const inside = modelIn(graph, model);
  const words = wordsOf(graph, inside);
  const decoder = decoderApart ? { decoderWords: wordsOf(graph, inside, "decoder_ids") } : {};
  const vectors = architectureOf(config).vectors(inside, words, { task, ...decoder });
  const second = joinsSnippets(task, config)
    ? [graph.input("second", "float32", ["B", config.hiddenSize])]
    : [];
  const features = featuresOf(task, [vectors, ...second]);

  let slope: Value;
  if (objective === "vectors") {
    const slopes = graph.input("slopes", "float32", ["B", config.hiddenSize]);
    [slope] = gradient(graph, features, [words], slopes) as [Value];
    graph.output("features", features);
  } else {
    const targets = graph.input("targets", "float32", ["B", layout.classes]);
    const logits = headLogits(inside, features);
    [slope] = gradient(graph, reduceSum(rowLosses(logits, targets, "labels")), [words]) as [Value];
    graph.output("logits", logits);
  }
  graph.output("gradient", slope);
  return graph;
}
