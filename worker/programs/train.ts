import { Graph, gradient, mul, reduceSum, type Value } from "../graph/index.ts";
import { architectureOf } from "../models/architectures.ts";
import { type Dropout, dropoutByMasks, noDropout } from "../models/dropout.ts";
import { featureSize, featuresOf, joinsSnippets } from "../models/features.ts";
import { headLogits } from "../models/head.ts";
import { type Objective, rowLosses } from "./loss.ts";
import { modelIn, type StoredModel } from "./model.ts";

export interface TrainProgramOptions {
  /** Weights that are inputs of the program and that it gives gradients of; the others keep the checkpoint's values. */
  readonly trained: ReadonlySet<string>;
  readonly objective: Objective | "vectors";
  readonly dropout: boolean;
}

/** A padded batch of snippets: what stands before its inputs' names, and the symbol of its length. */
export interface SnippetBatch {
  readonly inputs: string;
  readonly length: string;
}

/** The batches that a row's snippets are in: two in clone detection with joined vectors. */
export const snippetBatches = ({ task, config }: StoredModel): readonly SnippetBatch[] =>
  joinsSnippets(task, config)
    ? [
        { inputs: "", length: "T" },
        { inputs: "second_", length: "U" },
      ]
    : [{ inputs: "", length: "T" }];

/** Name of the output that holds the gradient by what look-ups gave: what the gradients of tables are made of. */
export const siteGradientName = ({ inputs }: Pick<SnippetBatch, "inputs">, site: string): string =>
  `gradient at ${inputs}${site}`;

/** Name of the output that holds a weight's gradient. */
export const gradientName = (weight: string): string => `gradient ${weight}`;

/**
 * Inputs of the padded batches (see `Architecture.paddedVectors`), `targets`, `row_weights` [B], the trained weights by name, and dropout
 * masks → `logits` [B, classes] and the gradient of Σ row_weight · row loss by each trained weight; of tables, the gradients by what was
 * looked up. `targets` are [B, classes], for vectors ∂loss/∂vector [B, hidden]; the program then gives `features` in place of logits.
 */
export function trainProgram(
  model: StoredModel,
  { trained, objective, dropout }: TrainProgramOptions,
): Graph {
  const graph = new Graph();
  const { task, config, layout } = model;
  const architecture = architectureOf(config);
  const inside = modelIn(graph, model, { fed: trained });
  const drop = dropout ? dropoutByMasks(graph) : noDropout;
  const batches = snippetBatches(model).map((batch) => ({
    ...batch,
    ...architecture.paddedVectors(inside, { task, ...batch, dropout: named(drop, batch.inputs) }),
  }));
  const features = featuresOf(
    task,
    batches.map(({ vectors }) => vectors),
  );
  const width = objective === "vectors" ? featureSize(task, config) : layout.classes;
  const targets = graph.input("targets", "float32", ["B", width]);
  const rowWeights = graph.input("row_weights", "float32", ["B"]);
  let losses: Value;
  if (objective === "vectors") {
    losses = reduceSum(mul(features, targets), [1]);
    graph.output("features", features);
  } else {
    const logits = headLogits(inside, features, drop);
    losses = rowLosses(logits, targets, objective);
    graph.output("logits", logits);
  }

  const lookups = architecture.lookups(config, layout);
  const wrt = new Map<string, Value>();
  for (const name of trained) {
    const own = lookups.filter(({ table }) => table === name);
    for (const { site } of own) {
      for (const batch of batches) wrt.set(siteGradientName(batch, site), batch.sites[site]!);
    }
    if (own.length === 0) wrt.set(gradientName(name), inside.weights.get(name));
  }
  const slopes = gradient(graph, reduceSum(mul(losses, rowWeights)), [...wrt.values()]);
  for (const [index, name] of [...wrt.keys()].entries()) graph.output(name, slopes[index]!);
  return graph;
}

/** Dropout whose sites have names of their own for each batch. */
const named =
  (dropout: Dropout, prefix: string): Dropout =>
  (x, site) =>
    dropout(x, `${prefix}${site}`);
