import { FLOATS } from "../dtype.ts";
import { MICROSOFT, type Operator, parameter } from "./call.ts";
import { matrixProduct } from "./matrix.ts";

/**
 * onnxruntime's fused operators, for devices that have them right (WebGPU has not: use primitive operators there).
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 */
export const fused = {
  /** alpha · A' · B', the last two axes of an operand swapped where transA or transB is 1. */
  FusedMatMul: {
    domain: MICROSOFT,
    parameters: [parameter("A", FLOATS, "T"), parameter("B", FLOATS, "T")],
    attributes: { alpha: "float", transA: "int", transB: "int" },
    infer: (call) => [
      {
        dtype: call.x(0).dtype,
        shape: matrixProduct(call, call.int("transA", 0) === 1, call.int("transB", 0) === 1),
      },
    ],
  },
  /** Exact Gelu(A + B), B of shape [last dimension of A]. */
  BiasGelu: {
    domain: MICROSOFT,
    parameters: [parameter("A", FLOATS, "T"), parameter("B", FLOATS, "T")],
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      call.expectRank(0, 1);
      call.expectRank(1, 1, 1);
      call.expectDim(1, 0, shape.at(-1)!, `the last dimension of ${call.describe(0)}`);
      return [{ dtype, shape }];
    },
  },
  /** LayerNormalization over the last axis of input + skip (+ bias); input [batch, length, hidden]. */
  SkipLayerNormalization: {
    domain: MICROSOFT,
    parameters: [
      parameter("input", FLOATS, "T"),
      parameter("skip", FLOATS, "T"),
      parameter("gamma", FLOATS, "T"),
      parameter("beta", FLOATS, "T", { optional: true }),
      parameter("bias", FLOATS, "T", { optional: true }),
    ],
    attributes: { epsilon: "float" },
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      call.expectRank(0, 2, 3);
      call.expectRank(1, shape.length, shape.length);
      for (const [axis, dim] of shape.entries()) call.expectDim(1, axis, dim, `as in ${call.describe(0)}`);
      for (const index of [2, 3, 4].filter((at) => call.optional(at) !== undefined)) {
        call.expectRank(index, 1, 1);
        call.expectDim(index, 0, shape.at(-1)!, `the last dimension of ${call.describe(0)}`);
      }
      return [{ dtype, shape }];
    },
  },
  /**
   * Attention of already projected query, key and value, all [batch, length, heads × head size]; `bias` of the three
   * projections, [3 × hidden]; `attention_bias` [batch or 1, heads or 1, query length, key length] is added to the scores.
   */
  MultiHeadAttention: {
    domain: MICROSOFT,
    parameters: [
      parameter("query", FLOATS, "T"),
      parameter("key", FLOATS, "T"),
      parameter("value", FLOATS, "T"),
      parameter("bias", FLOATS, "T", { optional: true }),
      parameter("key_padding_mask", ["int32"], undefined, { optional: true }),
      parameter("attention_bias", FLOATS, "T", { optional: true }),
    ],
    attributes: { num_heads: "int", scale: "float", mask_filter_value: "float", unidirectional: "int" },
    infer: (call) => {
      for (const index of [0, 1, 2]) call.expectRank(index, 3, 3);
      const [query, key, value] = [call.x(0), call.x(1), call.x(2)];
      const heads = call.int("num_heads", 0);
      const hidden = query.shape[2]!;
      if (heads < 1 || typeof hidden !== "number" || hidden % heads !== 0) {
        return call.fail(`num_heads = ${heads} does not divide dimension ${call.describeDim(0, 2)}`);
      }
      call.expectDim(1, 0, query.shape[0]!, `the batch of ${call.describe(0)}`);
      call.expectDim(1, 2, hidden, `the hidden size of ${call.describe(0)}`);
      call.expectDim(2, 0, query.shape[0]!, `the batch of ${call.describe(0)}`);
      call.expectDim(2, 1, key.shape[1]!, `the length of ${call.describe(1)}`);
      if (call.optional(3) !== undefined) {
        call.expectRank(3, 1, 1);
        call.expectDim(
          3,
          0,
          2 * hidden + (value.shape[2] as number),
          "the sizes of query, key and value together",
        );
      }
      if (call.optional(5) !== undefined) {
        call.expectRank(5, 4, 4);
        call.expectDim(5, 2, query.shape[1]!, `the length of ${call.describe(0)}`);
        call.expectDim(5, 3, key.shape[1]!, `the length of ${call.describe(1)}`);
      }
      return [{ dtype: query.dtype, shape: [query.shape[0]!, query.shape[1]!, value.shape[2]!] }];
    },
  },
  /** X ÷ √(mean of squares over the last axis + epsilon) · scale: LayerNormalization without mean and bias. */
  SimplifiedLayerNormalization: {
    parameters: [parameter("X", FLOATS, "T"), parameter("scale", FLOATS, "T")],
    attributes: { axis: "int", epsilon: "float", stash_type: "int" },
    infer: (call) => {
      const { dtype, shape } = call.x(0);
      call.expectRank(0, 1);
      call.expectRank(1, 1, 1);
      if (call.axis(call.int("axis", -1), shape.length) !== shape.length - 1) {
        return call.fail("only the last axis is supported");
      }
      call.expectDim(1, 0, shape.at(-1)!, `the last dimension of ${call.describe(0)}`);
      return [{ dtype, shape }];
    },
  },
} satisfies Record<string, Operator>;
