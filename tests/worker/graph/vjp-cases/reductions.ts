import * as g from "../../../../worker/graph/index.ts";
import type { VjpCase } from "../check-vjp.ts";

export const reductions: VjpCase[] = [
  ...(
    [
      ["ReduceSum", g.reduceSum],
      ["ReduceMean", g.reduceMean],
      ["ReduceMax", g.reduceMax],
    ] as const
  ).flatMap(([op, reduce]): VjpCase[] => {
    return [
      { op, note: "all axes", shapes: [[2, 3]], build: (x) => reduce(x!), spread: true },
      { op, note: "one axis", shapes: [[2, 3, 4]], build: (x) => reduce(x!, [1]), spread: true },
      { op, note: "kept axes", shapes: [[2, 3, 4]], build: (x) => reduce(x!, [-1, 0], true), spread: true },
    ];
  }),
  { op: "TopK", shapes: [[3, 5]], build: (x) => g.topK(x!, 2).values, spread: true },
  { op: "TopK", note: "axis 0", shapes: [[4, 2]], build: (x) => g.topK(x!, 3, 0).values, spread: true },
  { op: "CumSum", shapes: [[2, 4]], build: (x) => g.cumSum(x!, 1) },
  { op: "CumSum", note: "exclusive", shapes: [[3, 2]], build: (x) => g.cumSum(x!, 0, { exclusive: true }) },
  {
    op: "CumSum",
    note: "exclusive from the end",
    shapes: [[2, 4]],
    build: (x) => g.cumSum(x!, -1, { exclusive: true, reverse: true }),
  },
];

// onnxruntime's mean and deviation are float32 even where the rest is float64.
const statistics = { op: "LayerNormalization", tolerance: 1e-6 } as const;

export const normalizations: VjpCase[] = [
  { op: "Softmax", shapes: [[2, 3, 4]], build: (x) => g.softmax(x!) },
  { op: "Softmax", note: "axis 1", shapes: [[2, 3, 2]], build: (x) => g.softmax(x!, 1) },
  { op: "LogSoftmax", shapes: [[2, 4]], build: (x) => g.logSoftmax(x!) },
  { op: "LogSoftmax", note: "axis 0", shapes: [[3, 2]], build: (x) => g.logSoftmax(x!, 0) },
  { ...statistics, shapes: [[2, 3, 4], [4], [4]], build: (x, s, b) => g.layerNormalization(x!, s!, b!) },
  {
    ...statistics,
    note: "no bias, a large epsilon",
    shapes: [[3, 5], [5]],
    build: (x, s) => g.layerNormalization(x!, s!, null, { epsilon: 0.1 }),
  },
  {
    ...statistics,
    note: "two axes",
    shapes: [
      [2, 2, 3],
      [2, 3],
      [2, 3],
    ],
    build: (x, s, b) => g.layerNormalization(x!, s!, b!, { axis: 1 }),
  },
  {
    op: "LayerNormalization",
    note: "float32",
    dtype: "float32",
    shapes: [[2, 4], [4], [4]],
    build: (x, s, b) => g.layerNormalization(x!, s!, b!),
  },
  {
    op: "SkipLayerNormalization",
    dtype: "float32",
    shapes: [[2, 3, 4], [2, 3, 4], [4]],
    build: (x, k, s) => g.skipLayerNormalization(x!, k!, s!),
  },
  {
    op: "SkipLayerNormalization",
    note: "beta and bias",
    dtype: "float32",
    shapes: [[2, 3, 4], [2, 3, 4], [4], [4], [4]],
    build: (x, k, s, beta, bias) =>
      g.skipLayerNormalization(x!, k!, s!, { beta: beta!, bias: bias!, epsilon: 1e-3 }),
  },
];
