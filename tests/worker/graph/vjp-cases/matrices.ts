import * as g from "../../../../worker/graph/index.ts";
import type { VjpCase } from "../check-vjp.ts";

const flags = [false, true].flatMap((transA) => [false, true].map((transB) => ({ transA, transB })));

export const matrices: VjpCase[] = [
  ...[
    [
      [2, 3],
      [3, 4],
    ],
    [
      [2, 2, 3],
      [3, 4],
    ],
    [
      [2, 3],
      [2, 3, 2],
    ],
    [
      [2, 1, 2, 3],
      [3, 3, 2],
    ],
    [
      [2, 1, 3],
      [2, 3, 1],
    ],
  ].map((shapes): VjpCase => ({ op: "MatMul", shapes, build: (a, b) => g.matMul(a!, b!) })),
  ...flags.flatMap(({ transA, transB }): VjpCase[] => {
    const note = `${transA ? "Aᵀ" : "A"} ${transB ? "Bᵀ" : "B"}`;
    const [a, b] = [transA ? [3, 2] : [2, 3], transB ? [4, 3] : [3, 4]];
    return [
      {
        op: "Gemm",
        note,
        shapes: [a, b, [4]],
        build: (x, y, c) => g.gemm(x!, y!, c!, { transA, transB, alpha: 0.5, beta: 2 }),
      },
      {
        op: "FusedMatMul",
        note,
        dtype: "float32",
        shapes: [[2, ...a], b],
        build: (x, y) => g.fusedMatMul(x!, y!, { transA, transB, alpha: 0.5 }),
      },
      {
        op: "FusedMatMul",
        note: `batched ${note}`,
        dtype: "float32",
        shapes: [
          [2, ...a],
          [2, ...b],
        ],
        build: (x, y) => g.fusedMatMul(x!, y!, { transA, transB }),
      },
    ];
  }),
  {
    op: "Gemm",
    note: "without C",
    shapes: [
      [2, 3],
      [3, 4],
    ],
    build: (a, b) => g.gemm(a!, b!),
  },
  {
    op: "Gemm",
    note: "C by column",
    shapes: [
      [2, 3],
      [3, 4],
      [2, 1],
    ],
    build: (a, b, c) => g.gemm(a!, b!, c!),
  },
  { op: "BiasGelu", dtype: "float32", shapes: [[2, 3, 4], [4]], build: (x, b) => g.biasGelu(x!, b!) },
];
