import type { Graph } from "../graph/index.ts";
import type { StoredModel } from "../programs/model.ts";

/** A program of a model that is smaller costs what it would cost in one of this size: 128 MB of weights. */
const SMALL_BYTES = 128 * 2 ** 20;

/** Beside its weights a session has its graph, and the memory that its runs needed. */
const LEAST = 1 / 16;

/**
 * What a program takes of the memory for programs: the share of its checkpoint's weights that it reads, from 1/16 to 1. A plan may need many
 * programs, of which heads and products with the vocabulary are small.
 */
export function programCost({ weights }: Pick<Graph, "weights">, { stored }: StoredModel): number {
  const read = weights.reduce((sum, { location }) => sum + location.length, 0);
  const whole = [...stored.values()].reduce((sum, { length }) => sum + length, 0);
  return Math.min(1, Math.max(LEAST, read / Math.max(whole, SMALL_BYTES)));
}
