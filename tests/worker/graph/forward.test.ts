import { describe, expect, test } from "vitest";
import {
  add,
  argMax,
  cast,
  concat,
  cumSum,
  equal,
  erf,
  expand,
  full,
  Graph,
  gather,
  gatherElements,
  gelu,
  gemm,
  layerNormalization,
  less,
  logSoftmax,
  matMul,
  pad,
  range,
  reduceMax,
  reduceMean,
  reduceSum,
  reshape,
  scatterElements,
  slice,
  softmax,
  softplus,
  split,
  swapLast,
  type Tensor,
  tensor,
  topK,
  unsqueeze,
  type Value,
  where,
} from "../../../worker/graph/index.ts";
import { numbersOf, runProgram } from "../../support/run-program.ts";

const matrix = tensor("float32", [2, 3], [1, -2, 3, 0.5, 0, -1]);

/** Runs what `build` makes of one input. */
async function evaluate(x: Tensor, build: (x: Value, graph: Graph) => Value): Promise<Tensor> {
  const graph = new Graph();
  graph.output("y", build(graph.input("x", x.dtype, x.shape), graph));
  return (await runProgram(graph, { x })).y!;
}

const logistic = (values: number[]) => {
  const powers = values.map(Math.exp);
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
};

describe("forward values equal plain JavaScript", () => {
  const int64 = (graph: Graph, shape: number[], values: number[]) =>
    graph.constant(tensor("int64", shape, values));

  test.each<{ name: string; build: (x: Value, graph: Graph) => Value; shape: number[]; values: number[] }>([
    {
      name: "Add broadcasts",
      build: (x, g) => add(x, g.constant(tensor("float32", [3], [10, 20, 30]))),
      shape: [2, 3],
      values: [11, 18, 33, 10.5, 20, 29],
    },
    {
      name: "Softmax",
      build: (x) => softmax(x),
      shape: [2, 3],
      values: [...logistic([1, -2, 3]), ...logistic([0.5, 0, -1])],
    },
    {
      name: "LogSoftmax over axis 0",
      build: (x) => logSoftmax(x, 0),
      shape: [2, 3],
      values: [
        Math.log(logistic([1, 0.5])[0]!),
        Math.log(logistic([-2, 0])[0]!),
        Math.log(logistic([3, -1])[0]!),
        Math.log(logistic([1, 0.5])[1]!),
        Math.log(logistic([-2, 0])[1]!),
        Math.log(logistic([3, -1])[1]!),
      ],
    },
    {
      name: "Softplus",
      build: softplus,
      shape: [2, 3],
      values: [1, -2, 3, 0.5, 0, -1].map((v) => Math.log1p(Math.exp(v))),
    },
    {
      name: "Erf",
      build: erf,
      shape: [2, 3],
      values: [0.8427008, -0.9953223, 0.9999779, 0.5204999, 0, -0.8427008],
    },
    {
      name: "Gelu by tanh",
      build: (x) => gelu(x, "tanh"),
      shape: [2, 3],
      values: [1, -2, 3, 0.5, 0, -1].map(
        (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))),
      ),
    },
    { name: "MatMul", build: (x) => matMul(x, swapLast(x)), shape: [2, 2], values: [14, -2.5, -2.5, 1.25] },
    {
      name: "Gemm with both flags",
      build: (x) => gemm(x, x, null, { transB: true, alpha: 2 }),
      shape: [2, 2],
      values: [28, -5, -5, 2.5],
    },
    { name: "ReduceSum", build: (x) => reduceSum(x, [1]), shape: [2], values: [2, -0.5] },
    {
      name: "ReduceMean keeps dimensions",
      build: (x) => reduceMean(x, [0], true),
      shape: [1, 3],
      values: [0.75, -1, 1],
    },
    { name: "ReduceMax of everything", build: (x) => reduceMax(x), shape: [], values: [3] },
    { name: "ArgMax", build: (x) => argMax(x, 1), shape: [2], values: [2, 0] },
    { name: "TopK", build: (x) => topK(x, 2).values, shape: [2, 2], values: [3, 1, 0.5, 0] },
    {
      name: "CumSum from the end",
      build: (x) => cumSum(x, 1, { reverse: true }),
      shape: [2, 3],
      values: [2, 1, 3, -0.5, -1, -1],
    },
    {
      name: "Slice with a step",
      build: (x) => slice(x, 1, 0, undefined, 2),
      shape: [2, 2],
      values: [1, 3, 0.5, -1],
    },
    {
      name: "Slice with negative bounds",
      build: (x) => slice(x, -1, -2, -1),
      shape: [2, 1],
      values: [-2, 0],
    },
    {
      name: "Split and Concat",
      build: (x) => {
        const [a, b] = split(x, [1, 2]);
        return concat([b!, a!], 1);
      },
      shape: [2, 3],
      values: [-2, 3, 1, 0, -1, 0.5],
    },
    { name: "Pad", build: (x) => pad(x, 1, 1, 0, 9), shape: [2, 4], values: [9, 1, -2, 3, 9, 0.5, 0, -1] },
    {
      name: "Expand",
      build: (x) => expand(unsqueeze(reduceSum(x, [1]), [1]), [2, 2]),
      shape: [2, 2],
      values: [2, 2, -0.5, -0.5],
    },
    {
      name: "Gather of an axis in the middle",
      build: (x, g) => gather(reshape(x, [1, 3, 2]), int64(g, [2], [2, -3]), 1),
      shape: [1, 2, 2],
      values: [0, -1, 1, -2],
    },
    {
      name: "GatherElements",
      build: (x, g) => gatherElements(x, int64(g, [2, 1], [2, 1]), 1),
      shape: [2, 1],
      values: [3, 0],
    },
    {
      name: "ScatterElements adds repeated indices",
      build: (x, g) =>
        scatterElements(full(g, [4, 3], 0, "float32"), int64(g, [2, 3], [3, 3, 0, 3, 1, 0]), x, {
          reduction: "add",
        }),
      shape: [4, 3],
      values: [0, 0, 2, 0, 0, 0, 0, 0, 0, 1.5, -2, 0],
    },
    {
      name: "Where and Less",
      build: (x) => where(less(x, 0), 0, x),
      shape: [2, 3],
      values: [1, 0, 3, 0.5, 0, 0],
    },
    {
      name: "Equal and Cast",
      build: (x) => cast(equal(x, 0), "int32"),
      shape: [2, 3],
      values: [0, 0, 0, 0, 1, 0],
    },
    {
      name: "Range and Cast",
      build: (x, g) => add(x, cast(range(g, 3), "float32")),
      shape: [2, 3],
      values: [1, -1, 5, 0.5, 1, 1],
    },
    {
      name: "LayerNormalization",
      build: (x, g) =>
        layerNormalization(
          x,
          g.constant(tensor("float32", [3], [1, 2, 3])),
          g.constant(tensor("float32", [3], [0, 0, 1])),
        ),
      shape: [2, 3],
      values: [
        [1, -2, 3],
        [0.5, 0, -1],
      ].flatMap((row) => {
        const mean = row.reduce((a, b) => a + b) / 3;
        const deviation = Math.sqrt(row.reduce((a, b) => a + (b - mean) ** 2, 0) / 3 + 1e-5);
        return row.map((v, i) => ((v - mean) / deviation) * (i + 1) + (i === 2 ? 1 : 0));
      }),
    },
  ])("$name", async ({ build, shape, values }) => {
    const y = await evaluate(matrix, build);

    expect(y.shape).toEqual(shape);
    const actual = numbersOf(y);
    for (const [index, value] of values.entries()) expect(actual[index]).toBeCloseTo(value, 5);
  });
});
