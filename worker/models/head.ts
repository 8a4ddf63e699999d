import { gemm, tanh, type Value } from "../graph/index.ts";
import type { ModelInGraph } from "./architecture.ts";
import { type Dropout, noDropout } from "./dropout.ts";
import type { Weights } from "./weights.ts";

/** A classification head by the names of its tensors. */
export type HeadLayout = DenseHeadLayout | LinearHeadLayout;

/** dense, tanh, out_proj: RoBERTa's, which the published wrapper puts on T5 too. */
export interface DenseHeadLayout {
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

/** One layer without bias: GPT-BigCode's `score`. */
export interface LinearHeadLayout {
  readonly kind: "linear";
  /** [classes, features] */
  readonly weight: string;
}

/** The head that RoBERTa's classes and the published wrapper call `classifier`. */
export const classifierHead: DenseHeadLayout = {
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
  if (head.kind === "linear") return [[head.weight, [classes, features]]];
  return [
    [head.denseWeight, [hidden, features]],
    [head.denseBias, [hidden]],
    [head.outWeight, [classes, hidden]],
    [head.outBias, [classes]],
  ];
}

/** Name of the weight that gives the logits, a row for each. */
export const outWeightOf = (head: HeadLayout): string =>
  head.kind === "linear" ? head.weight : head.outWeight;

/** Logits [B, classes] from features [B, features]. */
export function headLogits(
  { layout, weights }: ModelInGraph,
  features: Value,
  dropout: Dropout = noDropout,
): Value {
  const { head } = layout;
  if (head === undefined) throw new Error("a model for code search has no head");
  if (head.kind === "linear") return gemm(features, weights.get(head.weight), null, { transB: true });
  const inner = dense(weights, dropout(features, "classifier.input"), head.denseWeight, head.denseBias);
  const hidden = dropout(tanh(inner), "classifier.hidden");
  return dense(weights, hidden, head.outWeight, head.outBias);
}

const dense = (weights: Weights, x: Value, weight: string, bias: string): Value =>
  gemm(x, weights.get(weight), weights.get(bias), { transB: true });
