import type { Dim, Shape } from "../dims.ts";
import { FLOATS, NUMBERS } from "../dtype.ts";
import { broadcastShapes } from "./broadcast.ts";
import { type InferContext, type Operator, parameter } from "./call.ts";

/** The shape of A·B over broadcast leading axes, each operand's last two axes swapped where the flag says so. */
export function matrixProduct(call: InferContext, transposeA: boolean, transposeB: boolean): Shape {
  call.expectRank(0, 2);
  call.expectRank(1, 2);
  const [a, b] = [call.x(0).shape, call.x(1).shape];
  const rowAxis = a.length - (transposeA ? 1 : 2);
  const innerA = a.length - (transposeA ? 2 : 1);
  const innerB = b.length - (transposeB ? 1 : 2);
  const columnAxis = b.length - (transposeB ? 2 : 1);
  if (a[innerA] !== b[innerB]) {
    call.fail(`inner dimensions differ: ${call.describeDim(0, innerA)} and ${call.describeDim(1, innerB)}`);
  }
  const batch = broadcastShapes([a.slice(0, -2), b.slice(0, -2)], (reason) => call.fail(reason));
  return [...batch, a[rowAxis] as Dim, b[columnAxis] as Dim];
}

/** Products of matrices. Operands have at least rank 2: ONNX's special case for vectors is not used. */
export const matrix = {
  MatMul: {
    parameters: [parameter("A", NUMBERS, "T"), parameter("B", NUMBERS, "T")],
    infer: (call) => [{ dtype: call.x(0).dtype, shape: matrixProduct(call, false, false) }],
  },
  Gemm: {
    parameters: [
      parameter("A", FLOATS, "T"),
      parameter("B", FLOATS, "T"),
      parameter("C", FLOATS, "T", { optional: true }),
    ],
    attributes: { alpha: "float", beta: "float", transA: "int", transB: "int" },
    infer: (call) => {
      call.expectRank(0, 2, 2);
      call.expectRank(1, 2, 2);
      const shape = matrixProduct(call, call.int("transA", 0) === 1, call.int("transB", 0) === 1);
      const c = call.optional(2);
      if (c !== undefined) {
        const sum = broadcastShapes([shape, c.shape], (reason) => call.fail(reason));
        if (sum.some((dim, axis) => dim !== shape[axis]) || sum.length !== 2) {
          call.fail(`${call.describe(2)} does not broadcast to [${shape.join(",")}]`);
        }
      }
      return [{ dtype: call.x(0).dtype, shape }];
    },
  },
} satisfies Record<string, Operator>;
