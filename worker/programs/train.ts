import { Graph, gradient, mul, reduceSum, type Value } from "../graph/index.ts";
import { architectureOf } from "../models/architectures.ts";
import { dropoutByMasks, noDropout } from "../models/dropout.ts";
import { headLogits } from "../models/head.ts";
import { type Objective, rowLosses } from "./loss.ts";
import { modelIn, type StoredModel } from "./model.ts";

export interface TrainProgramOptions {
  /** Weights that are inputs of the program and that it gives gradients of; the others keep the checkpoint's values. */
  readonly trained: ReadonlySet<string>;
  readonly objective: Objective;
  readonly dropout: boolean;
}

/** Name of the output that holds the gradient by what look-ups gave: what the gradients of tables are made of. */
export const siteGradientName = (site: string): string => `gradient at ${site}`;

/** Name of the output that holds a weight's gradient. */
export const gradientName = (weight: string): string => `gradient ${weight}`;

/**
 * The padded batch's inputs (see `Architecture.paddedVectors`), `targets` [B, classes], `row_weights` [B], the trained weights by name,
 * and dropout masks → `logits` [B, classes] and the gradient of Σ row_weight · row loss by each trained weight; of tables, the
 * gradients by what was looked up.
 */
export function trainProgram(
  model: StoredModel,
  { trained, objective, dropout }: TrainProgramOptions,
): Graph {
  const graph = new Graph();
  const architecture = architectureOf(model.config);
  const inside = modelIn(graph, model, trained);
  const drop = dropout ? dropoutByMasks(graph) : noDropout;
  const { vectors, sites } = architecture.paddedVectors(inside, {
    task: model.task,
    inputs: "",
    length: "T",
    dropout: drop,
  });
  const targets = graph.input("targets", "float32", ["B", model.layout.classes]);
  const rowWeights = graph.input("row_weights", "float32", ["B"]);
  const logits = headLogits(inside, vectors, drop);
  const loss = reduceSum(mul(rowLosses(logits, targets, objective), rowWeights));

  const lookups = architecture.lookups(model.config, model.layout);
  const wrt = new Map<string, Value>();
  for (const name of trained) {
    const own = lookups.filter(({ table }) => table === name);
    for (const { site } of own) wrt.set(siteGradientName(site), sites[site]!);
    if (own.length === 0) wrt.set(gradientName(name), inside.weights.get(name));
  }
  const slopes = gradient(graph, loss, [...wrt.values()]);
  graph.output("logits", logits);
  for (const [index, name] of [...wrt.keys()].entries()) graph.output(name, slopes[index]!);
  return graph;
}
