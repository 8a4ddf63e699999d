import {
  add,
  gather,
  matMul,
  max,
  min,
  range,
  shapeTensor,
  sub,
  tensor,
  transpose,
  unsqueeze,
  type Value,
} from "../../graph/index.ts";
import { LOWEST_FLOAT32 } from "../padded.ts";
import { relativeBucket } from "./buckets.ts";
import type { Padding, Rows, T5 } from "./rows.ts";
import { relativeTable } from "./shapes.ts";

/** [1, heads, T, T]: of every query (row) for every key (column); in the decoder the lowest float for keys behind the query. */
export function biasOfAll(model: T5, stack: "encoder" | "decoder", { length }: Rows): Value {
  const places = range(model.graph, length);
  const distances = sub(unsqueeze(places, [0]), unsqueeze(places, [1]));
  return unsqueeze(transpose(biasAt(model, stack, distances), [2, 0, 1]), [0]);
}

/** The decoder's rows of the same for each row's last token: [1 or B, heads, 1, T]. */
export function biasOfEnds(model: T5, rows: Rows, padding: Padding | undefined): Value {
  if (padding !== undefined) {
    return matMul(unsqueeze(padding.ends, [1]), biasOfAll(model, "decoder", rows));
  }
  const { graph } = model;
  const distances = sub(range(graph, rows.length), shapeTensor(graph, [`${rows.length}-1`]));
  return unsqueeze(transpose(biasAt(model, "decoder", distances), [1, 0]), [0, 2]);
}

/** Biases [..., heads] at distances [...] = key position − query position. */
function biasAt(
  { graph, config, layout, weights }: T5,
  stack: "encoder" | "decoder",
  distances: Value,
): Value {
  const { relativeBuckets: buckets, relativeMaxDistance: most } = config;
  const directions = stack === "encoder" ? "both" : "past";
  const known = Array.from({ length: 2 * most + 1 }, (_, index) => index - most);
  const bucketOf = known.map((distance) =>
    relativeBucket(distance, { buckets, maxDistance: most, directions }),
  );
  const rows = weights.lookup(
    relativeTable(layout.prefix, stack),
    graph.constant(tensor("int32", [known.length], bucketOf)),
  );
  const ahead = known.map((distance) => (stack === "decoder" && distance > 0 ? LOWEST_FLOAT32 : 0));
  const byDistance =
    stack === "encoder" ? rows : add(rows, graph.constant(tensor("float32", [known.length, 1], ahead)));
  return gather(byDistance, add(max(min(distances, most), -most), most));
}

/** A bias, and that of padding where there is some. */
export const masked = (bias: Value, padding: Padding | undefined): Value =>
  padding === undefined ? bias : add(bias, padding.keyBias);
