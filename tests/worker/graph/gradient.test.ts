import { expect, test } from "vitest";
import {
  argMax,
  cast,
  exp,
  full,
  Graph,
  GraphError,
  gather,
  gradient,
  greater,
  log,
  MissingGradientError,
  matMul,
  mul,
  multiHeadAttention,
  reduceSum,
  sign,
  slice,
  softmax,
  tanh,
  tensor,
  type Value,
  where,
} from "../../../worker/graph/index.ts";
import { numbersOf, runProgram } from "../../support/run-program.ts";
import { uniform } from "../../support/uniform.ts";

const vector = (graph: Graph, name = "x", size: number | string = 3): Value =>
  graph.input(name, "float32", [size]);

/** The gradient of Σ build(x) at x. */
async function gradientAt(values: readonly number[], build: (x: Value) => Value): Promise<number[]> {
  const graph = new Graph();
  const x = vector(graph, "x", values.length);
  graph.output("dx", gradient(graph, reduceSum(build(x)), [x])[0]!);
  return numbersOf((await runProgram(graph, { x: tensor("float32", [values.length], values) })).dx!);
}

test("an operator without a rule is refused by name", () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["B", "T", 8]);
  const y = graph.scope("layer.3", () => multiHeadAttention(x, x, x, { numHeads: 2 }));
  const attempt = () => gradient(graph, reduceSum(y), [x]);

  expect(attempt).toThrow(MissingGradientError);
  expect(attempt).toThrow(
    /'MultiHeadAttention' \(node 'layer\.3\/MultiHeadAttention_0'\): build attention from/,
  );
});

test("an operator without a rule does not matter where no gradient has to pass", () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["B", "T", 8]);
  const w = vector(graph, "w", 8);
  const y = mul(multiHeadAttention(x, x, x, { numHeads: 2 }), w);

  expect(gradient(graph, reduceSum(y), [w])[0]!.shape).toEqual([8]);
});

test("a value that the loss does not depend on has gradient zero", async () => {
  const graph = new Graph();
  const [x, other] = [vector(graph), vector(graph, "other", "T")];
  const [dx, dOther] = gradient(graph, reduceSum(mul(x, x)), [x, other]);
  graph.output("dx", dx!);
  graph.output("dOther", dOther!);
  const result = await runProgram(graph, {
    x: tensor("float32", [3], [1, 2, 3]),
    other: tensor("float32", [2], [7, 7]),
  });

  expect(numbersOf(result.dx!)).toEqual([2, 4, 6]);
  expect(numbersOf(result.dOther!)).toEqual([0, 0]);
});

test("no gradient flows through what is constant almost everywhere", async () => {
  expect(await gradientAt([1, -2, 3], (x) => mul(x, sign(x)))).toEqual([1, -1, 1]);
  expect(await gradientAt([1, -2, 3], (x) => mul(x, cast(cast(x, "int32"), "float32")))).toEqual([1, -2, 3]);
  expect(await gradientAt([1, -2, 3], (x) => mul(gather(x, argMax(x, 0)), x))).toEqual([3, 3, 5]);
  expect(await gradientAt([1, -2, 3], (x) => where(greater(x, 0), mul(x, 2), x))).toEqual([2, 1, 2]);
});

test("tied elements share the gradient of a maximum", async () => {
  const { max, reduceMax } = await import("../../../worker/graph/index.ts");

  expect(await gradientAt([2, 5, 5], (x) => reduceMax(x))).toEqual([0, 0.5, 0.5]);
  expect(await gradientAt([0, 5], (x) => max(x, 0))).toEqual([0.5, 1]);
});

test("a value used in several places sums up its gradients", async () => {
  expect(await gradientAt([1, 2], (x) => mul(mul(x, x), x))).toEqual([3, 12]);
});

test("an interior value can be differentiated: the rows that an embedding look-up returned", async () => {
  const graph = new Graph();
  const table = graph.input("table", "float32", ["V", 2]);
  const ids = graph.input("ids", "int32", ["T"]);
  const rows = gather(table, ids);
  const loss = reduceSum(mul(rows, rows));
  const [dRows, dTable, dLoss] = gradient(graph, loss, [rows, table, loss]);
  for (const [name, value] of Object.entries({ dRows, dTable, dLoss })) graph.output(name, value!);
  const result = await runProgram(graph, {
    table: tensor("float32", [3, 2], [1, 2, 3, 4, 5, 6]),
    ids: tensor("int32", [3], [2, 0, 2]),
  });

  expect(numbersOf(result.dRows!)).toEqual([10, 12, 2, 4, 10, 12]);
  expect(numbersOf(result.dTable!)).toEqual([2, 4, 0, 0, 20, 24]);
  expect(numbersOf(result.dLoss!)).toEqual([1]);
});

test("a seed weighs the elements of a loss that has several", async () => {
  const graph = new Graph();
  const [x, seed] = [vector(graph), vector(graph, "seed")];
  graph.output("dx", gradient(graph, exp(log(x)), [x], seed)[0]!);
  const result = await runProgram(graph, {
    x: tensor("float32", [3], [1, 2, 4]),
    seed: tensor("float32", [3], [5, 0, -1]),
  });

  for (const [at, value] of [5, 0, -1].entries()) expect(numbersOf(result.dx!)[at]).toBeCloseTo(value, 5);
});

test("a gradient can be differentiated again", async () => {
  const cubeSlope = (x: Value) => gradient(x.graph, reduceSum(mul(mul(x, x), x)), [x])[0]!;

  expect(await gradientAt([1, -2], cubeSlope)).toEqual([6, -12]);
});

test("ends that make no sense are refused", () => {
  const graph = new Graph();
  const x = vector(graph);
  const ids = graph.input("ids", "int64", ["T"]);
  const message = (loss: Value, wrt: Value, seed?: Value) => () => gradient(graph, loss, [wrt], seed);

  expect(message(x, x)).toThrow("gradient 'x': has shape [3]: without a seed a loss has one element");
  expect(message(reduceSum(x), ids)).toThrow("gradient 'ids': is int64: only floats have gradients");
  expect(message(x, x, full(graph, [2], 1, "float32"))).toThrow(
    "a seed has the loss's dtype and shape, float32 [3]",
  );
  expect(message(reduceSum(x), vector(new Graph()))).toThrow(GraphError);
});

test("the gradient of an embedding is the exact sum, the same on every run with two threads", async () => {
  const [vocabulary, tokens, hidden] = [50, 6000, 64];
  const graph = new Graph();
  const table = graph.input("table", "float32", [vocabulary, hidden]);
  const ids = graph.input("ids", "int64", ["T"]);
  const seed = graph.input("seed", "float32", ["T", hidden]);
  graph.output("d", gradient(graph, gather(table, ids), [table], seed)[0]!);

  const random = uniform(3);
  const idValues = Array.from({ length: tokens }, () => Math.floor(random() * vocabulary));
  // Multiples of 1/8: float32 sums of these are exact in any order, so a lost addition shows.
  const seedValues = Array.from({ length: tokens * hidden }, () => Math.round(random() * 64 - 32) / 8);
  const expected = new Float64Array(vocabulary * hidden);
  for (const [row, id] of idValues.entries()) {
    for (let h = 0; h < hidden; h++) expected[id * hidden + h]! += seedValues[row * hidden + h]!;
  }
  const feeds = {
    table: tensor("float32", [vocabulary, hidden], Array(vocabulary * hidden).fill(0)),
    ids: tensor("int64", [tokens], idValues),
    seed: tensor("float32", [tokens, hidden], seedValues),
  };

  for (let run = 0; run < 5; run++) {
    const { d } = await runProgram(graph, feeds, { intraOpNumThreads: 2 });
    expect(numbersOf(d!)).toEqual([...expected]);
  }
});

test("a program with symbolic batch and length serves several of them in one session", async () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["B", "T", 2]);
  const w = graph.input("w", "float32", [2, 2]);
  const attention = softmax(matMul(x, graph.op("Transpose", [x], { perm: [0, 2, 1] })[0]!));
  const first = slice(tanh(matMul(matMul(attention, x), w)), 1, 0, 1);
  const [dw] = gradient(graph, reduceSum(first), [w]);
  graph.output("first", first);
  graph.output("dw", dw!);
  const run = (batch: number, length: number) =>
    runProgram(graph, {
      x: tensor(
        "float32",
        [batch, length, 2],
        Array.from({ length: batch * length * 2 }, (_, i) => ((i % (length * 2)) % 5) / 5),
      ),
      w: tensor("float32", [2, 2], [1, 0.5, -0.5, 1]),
    });
  const [one, three] = [await run(1, 4), await run(3, 4)];

  expect(three.first!.shape).toEqual([3, 1, 2]);
  expect(numbersOf(three.first!)).toEqual([1, 2, 3].flatMap(() => numbersOf(one.first!)));
  for (const [at, value] of numbersOf(one.dw!).entries()) {
    expect(numbersOf(three.dw!)[at]).toBeCloseTo(3 * value, 5);
  }
});
