import type { Value } from "../ir.ts";

/** a·b over the last two axes; leading axes broadcast. Both operands have at least rank 2. */
export const matMul = (a: Value, b: Value): Value => a.graph.op("MatMul", [a, b])[0]!;

export interface GemmOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly alpha?: number;
  readonly beta?: number;
}

/** alpha·a·b + beta·c of matrices, c broadcast; a dense layer on a torch weight [out, in] is `transB`. */
export const gemm = (
  a: Value,
  b: Value,
  c: Value | null = null,
  { transA = false, transB = false, alpha = 1, beta = 1 }: GemmOptions = {},
): Value =>
  a.graph.op("Gemm", c === null ? [a, b] : [a, b, c], {
    transA: transA ? 1 : 0,
    transB: transB ? 1 : 0,
    alpha,
    beta,
  })[0]!;
