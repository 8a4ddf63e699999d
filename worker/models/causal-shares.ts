import type { ProgramForm } from "../../proto/operations.ts";
import { add, max, reduceMax, softmax, type Value } from "../graph/index.ts";

/**
 * Lowest score that is exponentiated, below the largest of its row: e⁻⁷⁵ changes no bit of a sum that is at least 1, and stays a normal float
 * when it is divided by a sum of thousands.
 */
const FLOOR = -75;

/**
 * Softmax of scores of which about half are masked by the lowest float. onnxruntime raises e to it, a denormal number, at ten times the
 * usual cost; so the fused form lifts masked scores to where they count as little and cost nothing.
 */
export function causalShares(scores: Value, form: ProgramForm): Value {
  if (form === "primitive") return softmax(scores);
  return softmax(max(scores, add(reduceMax(scores, [-1], true), FLOOR)));
}
