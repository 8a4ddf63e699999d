import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { afterAll, describe, expect, test } from "vitest";
import {
  add,
  bfloat16Bits,
  biasGelu,
  cast,
  div,
  encodeOnnx,
  float16Bits,
  fusedMatMul,
  Graph,
  gelu,
  gradient,
  layerNormalization,
  matMul,
  mul,
  multiHeadAttention,
  reduceMean,
  reduceSum,
  reshape,
  simplifiedLayerNormalization,
  skipLayerNormalization,
  softmax,
  sqrt,
  swapLast,
  tanh,
  tensor,
  tensorBytes,
  transpose,
  type Value,
} from "../../../worker/graph/index.ts";
import { ModelProto } from "../../../worker/graph/onnx/schema.ts";
import { numbersOf, runProgram, runSession, sessionOptions } from "../../support/run-program.ts";
import { uniform } from "../../support/uniform.ts";

interface Decoded {
  readonly graph: {
    readonly node: readonly { readonly opType: string; readonly output: readonly string[] }[];
    readonly initializer: readonly { readonly name: string }[];
  };
}
const decode = (bytes: Uint8Array) =>
  ModelProto.toObject(ModelProto.decode(bytes), { arrays: true }) as Decoded;

describe("weights stay in their file", () => {
  const folder = mkdtempSync(join(tmpdir(), "elibad-encode-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test.each([0, 7, 4096, 4099])("and are read at offset %i", async (offset) => {
    const w = tensor("float32", [2, 3], [1, 2, 3, 4, 5, 6]);
    writeFileSync(
      join(folder, "model.bin"),
      Buffer.concat([Buffer.alloc(offset, 0xff), tensorBytes(w), Buffer.alloc(5, 0xff)]),
    );
    const graph = new Graph();
    const x = graph.input("x", "float32", ["B", 2]);
    const weight = graph.weight("layer.w", "float32", [2, 3], { file: "model.bin", offset, length: 24 });
    graph.output("y", matMul(x, weight));
    const path = join(folder, `program-${offset}.onnx`);
    writeFileSync(path, encodeOnnx(graph));
    const session = await InferenceSession.create(path, sessionOptions);
    const { y } = await runSession(session, { x: tensor("float32", [2, 2], [1, 0, 1, -1]) });
    await session.release();

    expect(numbersOf(y!)).toEqual([1, 2, 3, -3, -3, -3]);
  });

  test("so a program for weights of any size is small", () => {
    const graph = new Graph();
    let x = graph.input("x", "float32", ["B", 4096]);
    for (let layer = 0; layer < 24; layer++) {
      const length = 4096 * 4096 * 4;
      const w = graph.weight(`w${layer}`, "float32", [4096, 4096], {
        file: "model.bin",
        offset: layer * length,
        length,
      });
      x = tanh(matMul(x, w));
    }
    const weights = graph.weights.map(({ value }) => value);
    for (const [at, g] of gradient(graph, reduceSum(x), weights).entries()) graph.output(`g${at}`, g);

    expect(encodeOnnx(graph).length).toBeLessThan(24_000);
  });
});

test("what no output needs is not written", () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["B", 2]);
  graph.weight("unused", "float32", [2], { file: "model.bin", offset: 0, length: 8 });
  gradient(graph, reduceSum(matMul(x, swapLast(x))), [x]);
  graph.output("y", add(x, 1));
  const { graph: written } = decode(encodeOnnx(graph));

  expect(written.node.map(({ opType }) => opType)).toEqual(["Add", "Identity"]);
  expect(written.initializer).toHaveLength(1);
});

test("the statistics of a normalisation are written only where the gradient reads them", () => {
  const build = (differentiated: boolean) => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["B", 4]);
    const y = layerNormalization(x, graph.input("scale", "float32", [4]), null);
    graph.output("y", y);
    if (differentiated) graph.output("dx", gradient(graph, reduceSum(mul(y, y)), [x])[0]!);
    return decode(encodeOnnx(graph)).graph.node[0]!.output;
  };

  expect(build(false)).toHaveLength(1);
  expect(build(true)).toHaveLength(3);
});

test("the same graph gives the same bytes", () => {
  const build = () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["B", 2]);
    graph.output("dx", gradient(graph, reduceSum(softmax(matMul(x, swapLast(x)))), [x])[0]!);
    return encodeOnnx(graph);
  };

  expect(build()).toEqual(build());
});

test("a name that looks like a numbered one is kept apart", async () => {
  const graph = new Graph();
  graph.output("1", add(mul(graph.input("0", "float32", [1]), 3), 1));
  const result = await runProgram(graph, { 0: tensor("float32", [1], [5]) });

  expect(numbersOf(result[1]!)).toEqual([16]);
});

test("half types are rounded as the runtime rounds them", async () => {
  const random = uniform(5);
  const values = [
    0,
    -0,
    1,
    -1,
    65504,
    65519,
    65520,
    1e-8,
    6e-8,
    6.1e-5,
    6.0975e-5,
    1 / 3,
    2049,
    2051,
    Infinity,
  ];
  values.push(...Array.from({ length: 200 }, () => (random() - 0.5) * 2 ** Math.floor(random() * 40 - 24)));
  const graph = new Graph();
  const x = graph.input("x", "float32", [values.length]);
  graph.output("half", cast(x, "float16"));
  graph.output("brain", cast(cast(x, "bfloat16"), "float32"));
  const result = await runProgram(graph, { x: tensor("float32", [values.length], values) });
  const upper = (value: number) => new Uint32Array(new Float32Array([value]).buffer)[0]! >>> 16;
  // Node 20 has no Float16Array: onnxruntime hands out the bits.
  expect(values.map((value) => float16Bits(Math.fround(value)))).toEqual(numbersOf(result.half!));
  expect(values.map((value) => bfloat16Bits(value))).toEqual(numbersOf(result.brain!).map(upper));
});

describe("a fused operator equals its primitive form", () => {
  const random = uniform(9);
  const constant = (graph: Graph, shape: number[]) =>
    graph.constant(
      tensor(
        "float32",
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random() * 2 - 1),
      ),
    );

  test.each<{ name: string; build: (x: Value, graph: Graph) => readonly [Value, Value] }>([
    {
      name: "MultiHeadAttention with an attention bias",
      build: (x, graph) => {
        const bias = constant(graph, [1, 1, 3, 3]);
        const heads = (value: Value) => transpose(reshape(value, [2, 3, 2, 4]), [0, 2, 1, 3]);
        const scores = add(mul(matMul(heads(x), swapLast(heads(x))), 0.5), bias);
        const mixed = matMul(softmax(scores), heads(x));
        return [
          multiHeadAttention(x, x, x, { numHeads: 2, attentionBias: bias }),
          reshape(transpose(mixed, [0, 2, 1, 3]), [2, 3, 8]),
        ];
      },
    },
    {
      name: "SkipLayerNormalization",
      build: (x, graph) => {
        const [skip, scale, beta, bias] = [[2, 3, 8], [8], [8], [8]].map((shape) => constant(graph, shape));
        return [
          skipLayerNormalization(x, skip!, scale!, { beta, bias }),
          layerNormalization(add(add(x, skip!), bias!), scale!, beta!),
        ];
      },
    },
    {
      name: "SimplifiedLayerNormalization",
      build: (x, graph) => {
        const scale = constant(graph, [8]);
        const size = sqrt(add(reduceMean(mul(x, x), [-1], true), 1e-6));
        return [simplifiedLayerNormalization(x, scale, 1e-6), mul(div(x, size), scale)];
      },
    },
    {
      name: "BiasGelu",
      build: (x, graph) => {
        const bias = constant(graph, [8]);
        return [biasGelu(x, bias), gelu(add(x, bias))];
      },
    },
    {
      name: "FusedMatMul",
      build: (x) => [fusedMatMul(x, x, { transB: true, alpha: 2 }), mul(matMul(x, swapLast(x)), 2)],
    },
  ])("$name", async ({ build }) => {
    const graph = new Graph();
    const [fusedForm, primitive] = build(graph.input("x", "float32", [2, 3, 8]), graph);
    graph.output("fused", fusedForm);
    graph.output("primitive", primitive);
    const x = tensor(
      "float32",
      [2, 3, 8],
      Array.from({ length: 48 }, () => random() * 2 - 1),
    );
    const result = await runProgram(graph, { x });

    expect(result.fused!.shape).toEqual(result.primitive!.shape);
    const expected = numbersOf(result.primitive!);
    for (const [at, value] of numbersOf(result.fused!).entries()) expect(value).toBeCloseTo(expected[at]!, 5);
  });
});
