import { Graph, gradient, mul, reduceSum, type Value } from "../graph/index.ts";
import { dropoutByMasks, noDropout } from "../models/dropout.ts";
import { classificationHead, clsFeatures, embed, embeddingTables, wordRows } from "../models/roberta.ts";
import { type Objective, rowLosses } from "./loss.ts";
import { modelIn, type StoredModel } from "./model.ts";

export interface TrainProgramOptions {
  /** Weights that are inputs of the program and that it gives gradients of; the others keep the checkpoint's values. */
  readonly trained: ReadonlySet<string>;
  readonly objective: Objective;
  readonly dropout: boolean;
}

/** The gradient by the sum of word, position and type vectors: what the gradients of all three tables are made of. */
export const EMBEDDED_GRADIENT = "gradient embedded";

/** Name of the output that holds a weight's gradient. */
export const gradientName = (weight: string): string => `gradient ${weight}`;

/**
 * `ids` and `positions` int32 [B, T] padded, `key_bias` [B, 1, 1, T], `targets` [B, classes], `row_weights` [B], the trained
 * weights by name, and dropout masks → `logits` [B, classes] and the gradient of Σ row_weight · row loss by each trained weight.
 * A table's gradient has as many rows as the table, nearly all zero, so the program gives the gradient by what was
 * looked up, [B, T, hidden], once for all tables.
 */
export function trainProgram(
  model: StoredModel,
  { trained, objective, dropout }: TrainProgramOptions,
): Graph {
  const graph = new Graph();
  const ids = graph.input("ids", "int32", ["B", "T"]);
  const positions = graph.input("positions", "int32", ["B", "T"]);
  const keyBias = graph.input("key_bias", "float32", ["B", 1, 1, "T"]);
  const targets = graph.input("targets", "float32", ["B", model.layout.classes]);
  const rowWeights = graph.input("row_weights", "float32", ["B"]);
  const roberta = modelIn(graph, model, trained);
  const drop = dropout ? dropoutByMasks(graph) : noDropout;

  const embedded = embed(roberta, wordRows(roberta, ids), positions);
  const features = clsFeatures(roberta, embedded, { keyBias, dropout: drop });
  const logits = classificationHead(roberta, features, drop);
  const loss = reduceSum(mul(rowLosses(logits, targets, objective), rowWeights));

  const tables = new Set(Object.values(embeddingTables(model.layout)));
  const wrt = new Map<string, Value>();
  for (const name of trained) {
    if (tables.has(name)) wrt.set(EMBEDDED_GRADIENT, embedded);
    else wrt.set(gradientName(name), roberta.weights.get(name));
  }
  const slopes = gradient(graph, loss, [...wrt.values()]);
  graph.output("logits", logits);
  for (const [index, name] of [...wrt.keys()].entries()) graph.output(name, slopes[index]!);
  return graph;
}
