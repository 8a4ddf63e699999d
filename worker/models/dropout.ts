import { type Dim, type Graph, mul, reshape, type Value } from "../graph/index.ts";

/** Dropout at a named place of the network; returns its argument in evaluation mode. */
export type Dropout = (x: Value, site: string) => Value;

export const noDropout: Dropout = (x) => x;

/** What stands before a site's name in the name of its mask. */
export const MASK_PREFIX = "dropout ";

/**
 * Dropout by masks that are inputs of the program, `dropout <site>`: each element 0, or 1 ÷ (1 − p). A flat
 * [B·T, n] tensor has a mask [B, T, n], since the dimensions of inputs are numbers or plain symbols.
 */
export const dropoutByMasks =
  (graph: Graph): Dropout =>
  (x, site) => {
    const rows = String(x.shape[0]).split("*");
    const shape: Dim[] = [...rows, ...x.shape.slice(1)];
    const mask = graph.input(`${MASK_PREFIX}${site}`, "float32", shape);
    return mul(x, rows.length === 1 ? mask : reshape(mask, [-1, ...x.shape.slice(1)]));
  };
