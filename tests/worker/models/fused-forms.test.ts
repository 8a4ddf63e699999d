import { describe, expect, test } from "vitest";
import {
  add,
  Graph,
  gemm,
  matMul,
  mul,
  reshape,
  softmax,
  swapLast,
  tensor,
  transpose,
  type Value,
} from "../../../worker/graph/index.ts";
import { absorbedAttention } from "../../../worker/models/absorbed.ts";
import { causalShares } from "../../../worker/models/causal-shares.ts";
import { LOWEST_FLOAT32 } from "../../../worker/models/padded.ts";
import { relativeDifference } from "../../support/golden.ts";
import { numbersOf, runProgram } from "../../support/run-program.ts";
import { uniform } from "../../support/uniform.ts";

const draw = uniform(21);
const random = (...shape: number[]) =>
  tensor(
    "float32",
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 2 * draw() - 1),
  );

/** Three rows of seven tokens, four heads of six numbers. */
const [batch, tokens, heads, headSize] = [3, 7, 4, 6];
const inner = heads * headSize;

/** The same attention with keys and values of every token. */
function plainAttention(
  graph: Graph,
  { query, states, key, value, bias }: Readonly<Record<"query" | "states" | "key" | "value" | "bias", Value>>,
): Value {
  const flat = reshape(states, [-1, states.shape[2]!]);
  const part = (x: Value, count: number) =>
    transpose(reshape(x, [batch, count, heads, headSize]), [0, 2, 1, 3]);
  const project = (weight: Value) => part(gemm(flat, weight, null, { transB: true }), tokens);
  const scores = mul(matMul(part(query, 1), swapLast(project(key))), 0.5);
  const shares = softmax(add(scores, bias));
  expect(shares.graph).toBe(graph);
  return reshape(transpose(matMul(shares, project(value)), [0, 2, 1, 3]), [batch, inner]);
}

test("absorbed attention is attention, with a hidden size of its own and biases by head", async () => {
  const graph = new Graph();
  const query = graph.input("query", "float32", [batch, inner]);
  const states = graph.input("states", "float32", [batch, tokens, 10]);
  const [key, value] = [graph.constant(random(inner, 10)), graph.constant(random(inner, 10))];
  const bias = graph.constant(random(1, heads, 1, tokens));
  const absorbed = absorbedAttention({
    ...{ query, states, keyWeight: key, valueWeight: value, heads, scale: 0.5, bias },
  });
  graph.output("absorbed", absorbed);
  graph.output("plain", plainAttention(graph, { query, states, key, value, bias }));

  const result = await runProgram(graph, {
    query: random(batch, inner),
    states: random(batch, tokens, 10),
  });

  expect(result.absorbed!.shape).toEqual([batch, inner]);
  expect(relativeDifference(numbersOf(result.absorbed!), numbersOf(result.plain!))).toBeLessThan(2e-6);
});

describe("shares of scores that are masked by the lowest float", () => {
  /** Shares in both forms of [rows, 64] scores, the second half of them masked. */
  async function shares(spread: number): Promise<{ fused: number[]; primitive: number[] }> {
    const graph = new Graph();
    const scores = graph.input("scores", "float32", [5, 64]);
    const mask = Array.from({ length: 64 }, (_, column) => (column < 32 ? 0 : LOWEST_FLOAT32));
    const masked = add(mul(scores, spread), graph.constant(tensor("float32", [64], mask)));
    graph.output("fused", causalShares(masked, "fused"));
    graph.output("primitive", causalShares(masked, "primitive"));
    const result = await runProgram(graph, { scores: random(5, 64) });
    return { fused: numbersOf(result.fused!), primitive: numbersOf(result.primitive!) };
  }

  test.each([1, 20, 1_000])(
    "are in the fused form those of the primitive one, scores spread over ±%i",
    async (spread) => {
      const { fused, primitive } = await shares(spread);
      for (const [at, share] of fused.entries()) {
        // What e⁻⁷⁵ stands for changes no sum in float32.
        if (primitive[at]! > 1e-30) expect(share).toBe(primitive[at]);
        else expect(share).toBeLessThan(1e-30);
      }
    },
  );
});
