import { gather, reshape, type Value } from "../graph/index.ts";
import type { DistinctTokens } from "./architecture.ts";

/** A flat value of distinct tokens, [D, n], as one of all tokens, [B·T, n]; any other as it is. */
export const inRows = (x: Value, distinct: DistinctTokens | undefined): Value =>
  distinct === undefined ? x : reshape(gather(x, distinct.places), [-1, x.shape[1]!]);

/** The way back: a flat value of all tokens, [B·T, n], as one of distinct tokens, [D, n]. */
export const onceEach = (x: Value, distinct: DistinctTokens | undefined): Value =>
  distinct === undefined ? x : gather(x, distinct.origins);
