import { describe, expect, test } from "vitest";
import * as g from "../../../worker/graph/index.ts";
import { forwardOnly, nonDifferentiable, operators, vjps } from "../../../worker/graph/index.ts";
import { checkVjp, type VjpCase } from "./check-vjp.ts";

const int64 = (like: g.Value, shape: number[], values: number[]): g.Value =>
  like.graph.constant(g.tensor("int64", shape, values));

/** Equal shapes, and every way in which one operand broadcasts against the other. */
const PAIRS: readonly (readonly (readonly number[])[])[] = [
  [
    [2, 3],
    [2, 3],
  ],
  [[2, 3], [3]],
  [[3], [2, 3]],
  [
    [2, 1, 3],
    [4, 1],
  ],
  [[2, 3], []],
  [
    [1, 1],
    [2, 3],
  ],
];

const pairs = (op: g.OpType, build: VjpCase["build"], rest: Partial<VjpCase> = {}): VjpCase[] =>
  PAIRS.map((shapes) => ({ op, shapes, build, ...rest }));

const each = (op: g.OpType, build: VjpCase["build"], rest: Partial<VjpCase> = {}): VjpCase[] =>
  [[], [5], [2, 1, 3]].map((shape) => ({ op, shapes: [shape], build, ...rest }));

const elementwise: VjpCase[] = [
  ...pairs("Add", (a, b) => g.add(a!, b!)),
  ...pairs("Sub", (a, b) => g.sub(a!, b!)),
  ...pairs("Mul", (a, b) => g.mul(a!, b!)),
  ...pairs("Div", (a, b) => g.div(a!, b!), { domain: [0.5, 2] }),
  ...pairs("Pow", (a, b) => g.pow(a!, b!), { domain: [0.5, 2] }),
  ...pairs("Max", (a, b) => g.max(a!, b!), { spread: true }),
  ...pairs("Min", (a, b) => g.min(a!, b!), { spread: true }),
  {
    op: "Max",
    note: "three operands",
    shapes: [[2, 3], [3], [2, 1]],
    build: (a, b, c) => g.max(a!, b!, c!),
    spread: true,
  },
  { op: "Mul", note: "an operand with itself", shapes: [[2, 3]], build: (x) => g.mul(x!, x!) },
  { op: "Pow", note: "a negative base and a constant exponent", shapes: [[4]], build: (x) => g.pow(x!, 3) },
  ...pairs("Where", (a, b) => g.where(g.less(a!, b!), a!, b!), { spread: true }),
  {
    op: "Where",
    note: "a condition that broadcasts",
    shapes: [[2, 3], [3], [2, 1]],
    build: (a, b, c) => g.where(g.greater(c!, 0), a!, b!),
    spread: true,
  },
  ...each("Neg", (x) => g.neg(x!)),
  ...each("Abs", (x) => g.abs(x!), { spread: true }),
  ...each("Sqrt", (x) => g.sqrt(x!), { domain: [0.5, 2] }),
  ...each("Exp", (x) => g.exp(x!)),
  ...each("Log", (x) => g.log(x!), { domain: [0.5, 2] }),
  ...each("Reciprocal", (x) => g.reciprocal(x!), { domain: [0.5, 2] }),
  ...each("Relu", (x) => g.relu(x!), { spread: true }),
  ...each("Tanh", (x) => g.tanh(x!)),
  ...each("Erf", (x) => g.erf(x!), { dtype: "float32" }),
  ...each("Sigmoid", (x) => g.sigmoid(x!)),
  ...each("Softplus", (x) => g.softplus(x!), { dtype: "float32" }),
  ...each("Gelu", (x) => g.gelu(x!), { dtype: "float32" }),
  ...each("Gelu", (x) => g.gelu(x!, "tanh"), { dtype: "float32", note: "by tanh" }),
  ...each("Identity", (x) => g.identity(g.mul(x!, 3))),
  {
    op: "Cast",
    shapes: [[2, 3]],
    dtype: "float32",
    build: (x) => g.cast(g.exp(g.cast(x!, "float64")), "float32"),
  },
];

const reductions: VjpCase[] = [
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

const normalizations: VjpCase[] = [
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

const flags = [false, true].flatMap((transA) => [false, true].map((transB) => ({ transA, transB })));

const matrices: VjpCase[] = [
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

const movements: VjpCase[] = [
  { op: "Reshape", shapes: [[2, 3, 4]], build: (x) => g.reshape(x!, [x!.shape[0]!, -1]) },
  { op: "Reshape", note: "to a scalar", shapes: [[1, 1]], build: (x) => g.reshape(x!, []) },
  {
    op: "Reshape",
    note: "two symbols out of place",
    shapes: [[2, 3, 4]],
    build: (x) => g.reshape(x!, [x!.shape[2]!, x!.shape[0]!, x!.shape[1]!]),
  },
  { op: "Transpose", shapes: [[2, 3, 4]], build: (x) => g.transpose(x!, [2, 0, 1]) },
  {
    op: "Transpose",
    note: "all axes reversed",
    shapes: [[2, 3, 4]],
    build: (x) => x!.graph.op("Transpose", [x!])[0]!,
  },
  {
    op: "Concat",
    shapes: [
      [2, 3],
      [2, 2],
      [2, 3],
    ],
    build: (a, b, c) => g.concat([a!, b!, c!, a!], 1),
  },
  {
    op: "Concat",
    note: "axis 0 from the end",
    shapes: [
      [3, 2],
      [5, 2],
    ],
    build: (a, b) => g.concat([a!, b!], -2),
  },
  {
    op: "Split",
    shapes: [[2, 5]],
    sized: true,
    build: (x) => {
      const [a, b, c] = g.split(x!, [2, 1, 2], 1);
      return g.add(g.mul(a!, 3), g.mul(c!, b!));
    },
  },
  {
    op: "Split",
    note: "a part that is not used",
    shapes: [[5, 2]],
    sized: true,
    build: (x) => g.split(x!, [2, 3], 0)[1]!,
  },
  { op: "Slice", shapes: [[4, 5]], build: (x) => g.slice(x!, 1, 1, 3) },
  { op: "Slice", note: "to the end", shapes: [[4, 3]], build: (x) => g.slice(x!, 0, 1) },
  { op: "Slice", note: "from the end", shapes: [[2, 4]], build: (x) => g.slice(x!, -1, -3, -1) },
  { op: "Slice", note: "every second", shapes: [[2, 5]], build: (x) => g.slice(x!, 1, 0, 5, 2), sized: true },
  {
    op: "Slice",
    note: "every second of a symbolic length",
    shapes: [[2, 5]],
    build: (x) => g.slice(x!, 1, 1, 4, 2),
  },
  {
    op: "Slice",
    note: "two axes at once",
    shapes: [[4, 5]],
    build: (x) =>
      x!.graph.op("Slice", [x!, int64(x!, [2], [1, 0]), int64(x!, [2], [3, -1]), int64(x!, [2], [0, 1])])[0]!,
  },
  { op: "Pad", shapes: [[2, 3]], build: (x) => g.pad(x!, 1, 2, 1) },
  {
    op: "Pad",
    note: "with an element that counts",
    shapes: [[2, 3], []],
    build: (x, v) => x!.graph.op("Pad", [x!, int64(x!, [4], [1, 0, 0, 2]), v!])[0]!,
  },
  { op: "Squeeze", shapes: [[1, 3, 1, 2]], build: (x) => g.squeeze(x!, [0, -2]) },
  { op: "Unsqueeze", shapes: [[3, 2]], build: (x) => g.unsqueeze(x!, [1, -1]) },
  {
    op: "Expand",
    shapes: [
      [3, 1],
      [2, 3, 4],
    ],
    build: (x, y) => g.mul(g.expand(x!, y!.shape), y!),
  },
  { op: "Expand", note: "new axes", shapes: [[3]], build: (x) => g.expand(x!, [2, 1, x!.shape[0]!]) },
];

const indexings: VjpCase[] = [
  {
    op: "Gather",
    note: "rows, some twice",
    shapes: [[4, 3]],
    build: (x) => g.gather(x!, int64(x!, [2, 3], [0, 3, 3, -1, 1, 0])),
  },
  { op: "Gather", note: "a scalar index", shapes: [[4, 3]], build: (x) => g.gather(x!, int64(x!, [], [2])) },
  {
    op: "Gather",
    note: "an axis in the middle",
    shapes: [[2, 3, 2]],
    build: (x) => g.gather(x!, int64(x!, [4], [2, 0, 2, 1]), 1),
  },
  {
    op: "Gather",
    note: "int32 indices",
    shapes: [[4, 2]],
    build: (x) => g.gather(x!, x!.graph.constant(g.tensor("int32", [3], [1, 1, 2])), -2),
  },
  {
    op: "GatherElements",
    shapes: [[3, 2]],
    sized: true,
    build: (x) => g.gatherElements(x!, int64(x!, [2, 2], [2, 0, 2, 1])),
  },
  {
    op: "GatherElements",
    note: "last axis",
    shapes: [[2, 3]],
    build: (x) => g.gatherElements(x!, int64(x!, [2, 1], [-1, 0]), 1),
    sized: true,
  },
  {
    op: "ScatterElements",
    shapes: [
      [4, 2],
      [2, 2],
    ],
    sized: true,
    build: (x, u) => g.scatterElements(x!, int64(x!, [2, 2], [3, 0, 1, 2]), u!),
  },
  {
    op: "ScatterElements",
    note: "adding, some twice",
    shapes: [
      [2, 3],
      [2, 4],
    ],
    sized: true,
    build: (x, u) =>
      g.scatterElements(x!, int64(x!, [2, 4], [2, 0, 2, 1, 0, 0, 1, 1]), u!, { axis: 1, reduction: "add" }),
  },
];

const cases = [...elementwise, ...reductions, ...normalizations, ...matrices, ...movements, ...indexings];

describe("the gradient rule agrees with central differences", () => {
  for (const op of Object.keys(vjps) as g.OpType[]) {
    test(op, async () => {
      for (const check of cases.filter((one) => one.op === op)) await checkVjp(check);
    });
  }
});

test("every gradient rule is checked", () => {
  const checked = new Set<string>(cases.map(({ op }) => op));

  expect(Object.keys(vjps).filter((op) => !checked.has(op))).toEqual([]);
});

test("every operator has a rule, or is declared to be without gradient, or forward only", () => {
  for (const op of Object.keys(operators) as g.OpType[]) {
    const declared = [op in vjps, nonDifferentiable.has(op), op in forwardOnly];
    expect(declared.filter(Boolean), op).toHaveLength(1);
  }
});
