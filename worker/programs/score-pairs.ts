import { Graph, gemm } from "../graph/index.ts";

/** `queries` [R, hidden] and `codes` [N, hidden] → `scores` [R, N]: each query's product with each code. */
export function scoresProgram(hiddenSize: number): Graph {
  const graph = new Graph();
  const queries = graph.input("queries", "float32", ["R", hiddenSize]);
  const codes = graph.input("codes", "float32", ["N", hiddenSize]);
  graph.output("scores", gemm(queries, codes, null, { transB: true }));
  return graph;
}

/** Sum of (score − 1)² over the scores from index `start` to before `end`, in float64 and in their order. */
export function distanceFromOne(scores: Float32Array, start: number, end: number): number {
  let sum = 0;
  for (let at = start; at < end; at++) {
    const apart = scores[at]! - 1;
    sum += apart * apart;
  }
  return sum;
}
