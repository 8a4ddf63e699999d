import type { Value } from "../ir.ts";

/** Slices of x along an axis: result x.shape[..axis] + indices.shape + x.shape[axis+1..]. Indices int32 or int64. */
export const gather = (x: Value, indices: Value, axis = 0): Value =>
  x.graph.op("Gather", [x, indices], { axis })[0]!;

/** result[i][j] = x[indices[i][j]][j] for axis 0; result has the shape of `indices`. */
export const gatherElements = (x: Value, indices: Value, axis = 0): Value =>
  x.graph.op("GatherElements", [x, indices], { axis })[0]!;

/**
 * x with `updates` put ("none") or added ("add") at indices along an axis. Adding is right and repeatable on any
 * number of threads in onnxruntime; ScatterND's is not, so it is not offered.
 */
export const scatterElements = (
  x: Value,
  indices: Value,
  updates: Value,
  { axis = 0, reduction = "none" }: { readonly axis?: number; readonly reduction?: "none" | "add" } = {},
): Value => x.graph.op("ScatterElements", [x, indices, updates], { axis, reduction })[0]!;
