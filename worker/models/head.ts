import { gemm, tanh, type Value } from "../graph/index.ts";
import type { ModelInGraph } from "./architecture.ts";
import { type Dropout, noDropout } from "./dropout.ts";
import type { Weights } from "./weights.ts";

/** A classification head by the names of its tensors: dense, tanh, out_proj, as RoBERTa's, which the published wrapper puts on T5 too. */
export interface HeadLayout {
  readonly kind: "dense";
  /** [hidden, features] */
  readonly denseWeight: string;
  /** [hidden] */
  readonly denseBias: string;
  /** [classes, hidden] */
  readonly outWeight: string;
  /** [classes] */
  readonly outBias: string;
}

/** The head that RoBERTa's classes and the published wrapper call `classifier`. */
export const classifierHead: HeadLayout = {
  kind: "dense",
  denseWeight: "classifier.dense.weight",
  denseBias: "classifier.dense.bias",
  outWeight: "classifier.out_proj.weight",
  outBias: "classifier.out_proj.bias",
};

/** Shapes of a head's tensors, in the order of its layers. */
export function headShapes(
  head: HeadLayout,
  {
    features,
    hidden,
    classes,
  }: { readonly features: number; readonly hidden: number; readonly classes: number },
): [string, number[]][] {
  return [
    [head.denseWeight, [hidden, features]],
    [head.denseBias, [hidden]],
    [head.outWeight, [classes, hidden]],
    [head.outBias, [classes]],
  ];
}

/** Logits [B, classes] from features [B, features]. */
export function headLogits(
  { layout, weights }: ModelInGraph,
  features: Value,
  dropout: Dropout = noDropout,
): Value {
  const { head } = layout;
  if (head === undefined) throw new Error("a model for code search has no head");
  const inner = dense(weights, dropout(features, "classifier.input"), head.denseWeight, head.denseBias);
  const hidden = dropout(tanh(inner), "classifier.hidden");
  return dense(weights, hidden, head.outWeight, head.outBias);
}

const dense = (weights: Weights, x: Value, weight: string, bias: string): Value =>
  gemm(x, weights.get(weight), weights.get(bias), { transB: true });
