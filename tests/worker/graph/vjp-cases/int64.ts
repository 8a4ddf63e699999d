import * as g from "../../../../worker/graph/index.ts";

/** A constant of indices or sizes in the graph of `like`. */
export const int64 = (like: g.Value, shape: number[], values: number[]): g.Value =>
  like.graph.constant(g.tensor("int64", shape, values));
