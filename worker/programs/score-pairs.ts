import { Graph, gemm } from "../graph/index.ts";

/** `queries` [R, hidden] and `codes` [N, hidden] → `scores` [R, N]: each query's product with each code. */
export function scoresProgram(hiddenSize: number): Graph {
  const graph = new Graph();
  const queries = graph.input("queries", "float32", ["R", hiddenSize]);
  const codes = graph.input("codes", "float32", ["N", hiddenSize]);
  graph.output("scores", gemm(queries, codes, null, { transB: true }));
  return graph;
}

/** Sum of (score − 1)² in float64, in the order of the scores. */
export function distanceFromOne(scores: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < scores.length; at++) {
    const apart = scores[at]! - 1;
    sum += apart * apart;
  }
  return sum;
}
