import { elementCount } from "../dims.ts";
import type { Value } from "../ir.ts";
import { mul } from "../ops/elementwise.ts";
import { fusedMatMul } from "../ops/fused.ts";
import { gemm, matMul } from "../ops/matrix.ts";
import { reshape, swapLast } from "../ops/movement.ts";
import { sumToShape } from "../sum-to-shape.ts";
import { type Forward, setting, type Vjp } from "./rule.ts";

/** Rows of all leading axes under one another: [..., columns] to [rows, columns]. */
const asMatrix = (x: Value): Value =>
  x.shape.length === 2 ? x : reshape(x, [elementCount(x.shape.slice(0, -1)), x.shape.at(-1)!]);

/** aᵀ·g; for a matrix b shared by a batch one product over all rows, which never holds a gradient per batch entry. */
function towardRight(g: Value, a: Value, b: Value): Value {
  if (b.shape.length === 2) return matMul(swapLast(asMatrix(a)), asMatrix(g));
  return sumToShape(matMul(swapLast(a), g), b.shape);
}

const flags = ({ attributes }: Forward) => ({
  transA: setting(attributes, "transA", 0) === 1,
  transB: setting(attributes, "transB", 0) === 1,
  alpha: setting(attributes, "alpha", 1),
});

type Product = (a: Value, b: Value, options: ReturnType<typeof flags>) => Value;

/** d(alpha·A'·B') toward A and toward B, by a product that swaps axes on the way. */
const productRules = (product: Product) =>
  [
    (g: Value, forward: Forward): Value => {
      const [a, b] = forward.x;
      const { transA, transB, alpha } = flags(forward);
      const da = transA
        ? product(b, g, { transA: transB, transB: true, alpha })
        : product(g, b, { transA: false, transB: !transB, alpha });
      return sumToShape(da, a.shape);
    },
    (g: Value, forward: Forward): Value => {
      const [a, b] = forward.x;
      const { transA, transB, alpha } = flags(forward);
      const db = transB
        ? product(g, a, { transA: true, transB: transA, alpha })
        : product(a, g, { transA: !transA, transB: false, alpha });
      return sumToShape(db, b.shape);
    },
  ] as const;

export const matrix = {
  MatMul: [
    (g, { x: [a, b] }) => sumToShape(matMul(g, swapLast(b)), a.shape),
    (g, { x: [a, b] }) => towardRight(g, a, b),
  ],
  Gemm: [
    ...productRules((a, b, options) => gemm(a, b, null, options)),
    (g, { x: [, , c], attributes }) => sumToShape(mul(g, setting(attributes, "beta", 1)), c.shape),
  ],
  FusedMatMul: productRules(fusedMatMul),
} satisfies Record<string, Vjp>;
