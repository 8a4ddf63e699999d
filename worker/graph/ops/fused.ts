import type { Value } from "../ir.ts";

/** alpha·a·b with the last two axes of an operand swapped on the way, without a transposed copy (onnxruntime only). */
export const fusedMatMul = (
  a: Value,
  b: Value,
  options: { readonly transA?: boolean; readonly transB?: boolean; readonly alpha?: number } = {},
): Value =>
  a.graph.op("FusedMatMul", [a, b], {
    transA: options.transA ? 1 : 0,
    transB: options.transB ? 1 : 0,
    alpha: options.alpha ?? 1,
  })[0]!;

/** gelu(x + bias), bias [last dimension of x] (onnxruntime only). */
export const biasGelu = (x: Value, bias: Value): Value => x.graph.op("BiasGelu", [x, bias])[0]!;

/** Layer normalisation of x + skip (+ bias) over the last axis (onnxruntime only). */
export const skipLayerNormalization = (
  x: Value,
  skip: Value,
  scale: Value,
  {
    beta = null,
    bias = null,
    epsilon = 1e-5,
  }: {
    readonly beta?: Value | null;
    readonly bias?: Value | null;
    readonly epsilon?: number;
  } = {},
): Value => x.graph.op("SkipLayerNormalization", trimmed([x, skip, scale, beta, bias]), { epsilon })[0]!;

export interface AttentionOptions {
  readonly numHeads: number;
  /** Biases of the query, key and value projections, one after the other: [3 × hidden]. */
  readonly bias?: Value | null;
  /** Added to the scores: [batch or 1, heads or 1, query length, key length]. */
  readonly attentionBias?: Value | null;
  /** Of the scores; absent: 1/√(head size). */
  readonly scale?: number;
}

/** Multi-head attention of projected query, key and value, each [batch, length, hidden] (onnxruntime only, forward only). */
export const multiHeadAttention = (
  query: Value,
  key: Value,
  value: Value,
  options: AttentionOptions,
): Value =>
  query.graph.op(
    "MultiHeadAttention",
    trimmed([query, key, value, options.bias ?? null, null, options.attentionBias ?? null]),
    { num_heads: options.numHeads, ...(options.scale === undefined ? {} : { scale: options.scale }) },
  )[0]!;

/** x ÷ √(mean of squares over the last axis + epsilon) · scale, scale [last dimension of x] (onnxruntime only, forward only). */
export const simplifiedLayerNormalization = (x: Value, scale: Value, epsilon: number): Value =>
  x.graph.op("SimplifiedLayerNormalization", [x, scale], { axis: -1, epsilon, stash_type: 1 })[0]!;

/** Left-out inputs at the end need no placeholder. */
const trimmed = (inputs: readonly (Value | null)[]): readonly (Value | null)[] =>
  inputs.slice(0, inputs.findLastIndex((input) => input !== null) + 1);
