import type { Task } from "../../proto/operations.ts";
import { concat, div, max, mul, reduceSum, sqrt, type Value } from "../graph/index.ts";
import { architectureOf } from "./architectures.ts";
import type { ModelConfig } from "./config.ts";

/** Whether the head reads the vectors of two snippets. */
export const joinsSnippets = (task: Task, config: ModelConfig): boolean =>
  task === "clone_detection" && architectureOf(config).clones === "joined";

/** Numbers that a head reads of a row; in code search, those of the row's vector. */
export const featureSize = (task: Task, config: ModelConfig): number =>
  joinsSnippets(task, config) ? 2 * config.hiddenSize : config.hiddenSize;

/**
 * A row's features from the vectors of its snippets, each [B, hidden]: the two joined for a head that reads both, in code search the
 * vector ÷ its length.
 */
export function featuresOf(task: Task, vectors: readonly Value[]): Value {
  if (vectors.length > 1) return concat(vectors, 1);
  return task === "code_search" ? normalised(vectors[0]!) : vectors[0]!;
}

/** torch's `normalize`: rows ÷ their Euclidean length, which counts as at least 1e-12. */
const normalised = (x: Value): Value => div(x, max(sqrt(reduceSum(mul(x, x), [1], true)), 1e-12));
