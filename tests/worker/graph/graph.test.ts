import { describe, expect, test } from "vitest";
import {
  add,
  cast,
  concat,
  expand,
  Graph,
  GraphError,
  gather,
  layerNormalization,
  matMul,
  multiHeadAttention,
  range,
  reduceSum,
  reshape,
  slice,
  softmax,
  split,
  squeeze,
  swapLast,
  tensor,
  topK,
  transpose,
  type Value,
  where,
} from "../../../worker/graph/index.ts";

const graph = () => new Graph();
const float = (shape: readonly (number | string)[], name = "x", owner = graph()): Value =>
  owner.input(name, "float32", shape);

/** Two inputs of one graph. */
function two(a: readonly (number | string)[], b: readonly (number | string)[]): [Value, Value] {
  const owner = graph();
  return [float(a, "a", owner), float(b, "b", owner)];
}

describe("shapes with symbols", () => {
  test("follow through the operators of attention", () => {
    const x = float(["B", "T", 768]);
    const heads = transpose(reshape(x, ["B", "T", 12, 64]), [0, 2, 1, 3]);
    const scores = matMul(heads, swapLast(heads));

    expect(heads.shape).toEqual(["B", 12, "T", 64]);
    expect(scores.shape).toEqual(["B", 12, "T", "T"]);
    expect(reshape(scores, [-1, "T"]).shape).toEqual(["12*B*T", "T"]);
  });

  test("are computed with", () => {
    const x = float(["B", "T", 4]);

    expect(concat([x, x], 1).shape).toEqual(["B", "2*T", 4]);
    expect(slice(x, 1, 1).shape).toEqual(["B", "T-1", 4]);
    expect(slice(x, 1, 0, -2).shape).toEqual(["B", "T-2", 4]);
    expect(slice(x, 1, 0, 1).shape).toEqual(["B", 1, 4]);
    expect(split(x, [1, "T-1"], 1)[1]!.shape).toEqual(["B", "T-1", 4]);
    expect(range(x.graph, "T").shape).toEqual(["T"]);
    expect(expand(range(x.graph, "T"), ["B", "T"]).shape).toEqual(["B", "T"]);
    expect(reduceSum(x, [-1, 0]).shape).toEqual(["T"]);
  });
});

describe("an illegal node is refused with operator, node and dimension", () => {
  test.each<{ name: string; build: () => unknown; message: RegExp }>([
    {
      name: "inner dimensions of a product",
      build: () => matMul(...two(["B", 4, 768], [512, 3])),
      message:
        /^MatMul 'MatMul_0': inner dimensions differ: 768 \(axis 2 of A = 'a' \[B,4,768\]\) and 512 \(axis 0 of B = 'b'/,
    },
    {
      name: "broadcasting",
      build: () => add(...two([2, 3], [4, 3])),
      message: /^Add 'Add_0': cannot broadcast \[2,3\] and \[4,3\]: axis 0 is both 2 and 4$/,
    },
    {
      name: "broadcasting of a symbol against a number",
      build: () => add(...two(["B", 3], [4, 3])),
      message: /^Add .*: axis 0 is both B and 4$/,
    },
    {
      name: "an impossible reshape",
      build: () => reshape(float([2, 3]), [4, -1]),
      message: /^Reshape .*\[2,3\], 6 elements, to \[4,-1\]: no whole size for axis 1$/,
    },
    {
      name: "a reshape of symbols",
      build: () => reshape(float(["B", "T"]), ["B", "B"]),
      message: /^Reshape .*'x' \[B,T\], B\*T elements, to \[B,B\]$/,
    },
    {
      name: "concatenation",
      build: () => concat(two([2, 3], [3, 3]), 1),
      message: /^Concat .*dimension 3 \(axis 0 of inputs = 'b' \[3,3\]\) is not 2, as in inputs = 'a'/,
    },
    {
      name: "parts that do not add up",
      build: () => split(float([2, 5]), [2, 2]),
      message: /^Split .*\[2,2\] do not add up to dimension 5 \(axis 1/,
    },
    {
      name: "squeezing a long axis",
      build: () => squeeze(float([2, 3]), [1]),
      message: /^Squeeze .*dimension 3 \(axis 1 of data = 'x' \[2,3\]\) is not 1/,
    },
    {
      name: "an axis that is not there",
      build: () => softmax(float([2, 3]), 2),
      message: /^Softmax .*axis 2 does not exist in input = 'x' \[2,3\] of rank 2$/,
    },
    {
      name: "a permutation that is none",
      build: () => transpose(float([2, 3]), [0, 0]),
      message: /^Transpose .*perm \[0,0\] is not a permutation/,
    },
    {
      name: "a scale of another size",
      build: () => layerNormalization(...two([2, 3], [4]), null),
      message: /^LayerNormalization .*dimension 4 \(axis 0 of Scale = 'b' \[4\]\) is not 3/,
    },
    {
      name: "more than there is",
      build: () => topK(float([2, 3]), 4),
      message: /^TopK .*K = 4 exceeds dimension 3 \(axis 1/,
    },
    {
      name: "dtypes that differ",
      build: () => {
        const x = float([2]);
        return add(x, cast(x, "int64"));
      },
      message: /^Add .*'x' is float32 but B = 'Cast_0:0' is int64$/,
    },
    {
      name: "a dtype that the operator does not take",
      build: () => gather(...two([2, 3], [2])),
      message: /^Gather .*indices = 'b' is float32, expected int64, int32$/,
    },
    {
      name: "a condition that is not one",
      build: () => where(float([2]), 1, float([2])),
      message: /^Where .*belongs to another graph$/,
    },
    {
      name: "heads that do not divide",
      build: () => {
        const x = float(["B", "T", 10]);
        return multiHeadAttention(x, x, x, { numHeads: 3 });
      },
      message: /^MultiHeadAttention .*num_heads = 3 does not divide dimension 10 \(axis 2/,
    },
    {
      name: "an unknown attribute",
      build: () => {
        const x = float([2]);
        return x.graph.op("Tanh", [x], { axis: 1 });
      },
      message: /^Tanh .*has no attribute 'axis'$/,
    },
    {
      name: "a missing input",
      build: () => {
        const x = float([2]);
        return x.graph.op("Add", [x]);
      },
      message: /^Add .*input 1 \(B\) is missing$/,
    },
    {
      name: "an unknown operator",
      build: () => {
        const x = float([2]);
        return x.graph.op("Convolve" as "Add", [x, x]);
      },
      message: /^Convolve .*is not an operator that is known$/,
    },
    {
      name: "a shape that only the run would know",
      build: () => {
        const owner = graph();
        return owner.op("Reshape", [float([4], "x", owner), owner.input("shape", "int64", [2])]);
      },
      message: /^Reshape .*the elements of shape = 'shape' \[2\] are not known in advance$/,
    },
    {
      name: "an input dimension that is an expression",
      build: () => float(["B*T"]),
      message: /^input 'x': dimension 'B\*T' is not a plain symbol$/,
    },
    {
      name: "a name used twice",
      build: () => {
        const owner = graph();
        return [float([2], "x", owner), float([3], "x", owner)];
      },
      message: /^value 'x': /,
    },
    {
      name: "a symbol that no value has",
      build: () => expand(float([1]), ["L"]),
      message: /no value has a dimension 'L'$/,
    },
  ])("$name", ({ build, message }) => {
    expect(build).toThrow(GraphError);
    expect(build).toThrow(message);
  });
});

test("the same operator on the same inputs is one node, and equal constants are one", () => {
  const x = float([2]);

  expect(add(x, 1)).toBe(add(x, 1));
  expect(add(x, 1)).not.toBe(add(x, 2));
  expect(add(x, x.graph.constant(tensor("float32", [], [1])))).toBe(add(x, 1));
  expect(softmax(x, 0)).not.toBe(softmax(x, -1));
});

test("movements that change nothing add no node", () => {
  const x = float(["B", 2, 3]);

  expect(reshape(x, ["B", 2, 3])).toBe(x);
  expect(expand(x, ["B", 2, 3])).toBe(x);
  expect(transpose(transpose(x, [2, 0, 1]), [1, 2, 0])).toBe(x);
  expect(transpose(transpose(x, [2, 0, 1]), [2, 0, 1]).shape).toEqual([2, 3, "B"]);
});

test("nodes say in which part of a model they are", () => {
  const x = float([2]);
  const y = x.graph.scope("layer.0", () => x.graph.scope("output", () => add(x, 1)));

  expect(x.graph.producer(y)!.name).toBe("layer.0/output/Add_0");
  expect(x.graph.producer(add(x, 2))!.name).toBe("Add_1");
});
