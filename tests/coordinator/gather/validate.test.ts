import { describe, expect, test } from "vitest";
import { findFault } from "../../../coordinator/gather/validate.ts";
import { findArtifactFault, findStateFault } from "../../../coordinator/gather/validate-artifacts.ts";
import type { Operation, Tensor, TensorMap } from "../../../proto/operations.ts";

const digests = { checkpoint: "c", samples: "s" };
const f32 = (...shape: number[]): Tensor => ({
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});
const i32 = (...shape: number[]): Tensor => ({
  shape,
  data: new Int32Array(shape.reduce((a, b) => a * b, 1)),
});

const score: Operation = { kind: "score", ...digests, sample: 0, triggers: [[1], [2], [3]] };
const gradient: Operation = {
  kind: "gradient",
  ...digests,
  rows: [0, 1],
  trigger: [1, 2, 3],
  objective: { kind: "label", label: 1 },
};
const vectorGradient: Operation = {
  ...gradient,
  objective: { kind: "vectors", slopes: [new Float32Array(4), new Float32Array(4)] },
};
const encode: Operation = { kind: "encode", ...digests, rows: [0, 1] };
const pairs: Operation = {
  kind: "score-pairs",
  ...{ checkpoint: "c", codes: "d", queries: "q" },
  rows: [0],
  pairs: [
    [0, 0],
    [0, 1],
  ],
};
const rank: Operation = {
  kind: "rank",
  checkpoint: "c",
  vocabulary: "v",
  gradient: [new Float32Array(4), new Float32Array(4)],
  topk: 64,
};
const train: Operation = {
  kind: "train-step",
  ...digests,
  weights: "w",
  rows: [0, 1],
  rowWeights: [0.5, 0.5],
  objective: { kind: "labels", labels: [0, 1] },
  dropout: 0,
  dropoutSeed: 0,
};

const trainRun: Operation = {
  kind: "train-run",
  ...digests,
  state: { weights: "a".repeat(64), steps: 0 },
  optimiser: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 },
  ...{ maxGradNorm: 1, dropout: 0 },
  steps: [1, 2].map((learningRate) => ({ kind: "rows", learningRate, microBatches: [] })),
};
const f64 = (...shape: number[]): Tensor => ({
  shape,
  data: new Float64Array(shape.reduce((a, b) => a * b, 1)),
});

test.each<[string, Operation, TensorMap]>([
  ["score", score, { logits: f32(3, 1) }],
  ["score of two classes", score, { logits: f32(3, 2) }],
  ["gradient", gradient, { gradient: f32(2, 3, 8), logits: f32(2, 1) }],
  ["gradient of vectors", vectorGradient, { gradient: f32(2, 3, 8), features: f32(2, 4) }],
  ["encode", encode, { features: f32(2, 8) }],
  ["encode with triggers", { ...encode, triggers: [[1], [2], [3]] }, { features: f32(6, 8) }],
  ["score-pairs", pairs, { sums: { shape: [2], data: new Float64Array(2) } }],
  ["rank", rank, { ids: i32(2, 64), values: f32(2, 64) }],
  ["rank in a small vocabulary", rank, { ids: i32(2, 7), values: f32(2, 7) }],
  ["encode", { kind: "encode", ...digests, rows: [1] }, { features: f32(1, 16) }],
  ["predict", { kind: "predict", ...digests, rows: [1, 2] }, { logits: f32(2, 2) }],
  ["train-run", trainRun, { losses: f64(2), norms: f64(2) }],
  ["train-step", train, { logits: f32(2, 1), dense: f32(4, 4), words: f32(3, 4), "words#rows": i32(3) }],
])("a right result of %s has no fault", (_name, operation, tensors) => {
  expect(findFault(operation, tensors)).toBeUndefined();
});

test.each<[string, Operation, TensorMap]>([
  ["tensor 'logits' has shape [2, 1] instead of [3, classes]", score, { logits: f32(2, 1) }],
  ["tensor 'logits' has shape [3] instead of [3, classes]", score, { logits: f32(3) }],
  ["tensor 'logits' is not f32", score, { logits: i32(3, 1) }],
  ["tensor 'logits' has 2 elements instead of 3", score, { logits: { ...f32(2), shape: [3, 1] } }],
  ["tensor 'gradient' is missing", gradient, { logits: f32(2, 1) }],
  ["tensor 'more' was not asked for", score, { logits: f32(3, 1), more: f32(1) }],
  ["tensor 'values' has shape [2, 63] instead of [2, 64]", rank, { ids: i32(2, 64), values: f32(2, 63) }],
  ["tensor 'norms' has shape [1] instead of [2]", trainRun, { losses: f64(2), norms: f64(1) }],
  ["tensor 'weights' was not asked for", trainRun, { losses: f64(2), norms: f64(2), weights: f32(2) }],
  ["there is no gradient", train, { logits: f32(2, 1) }],
  ["tensor 'words#rows' has no gradient beside it", train, { logits: f32(2, 1), "words#rows": i32(3) }],
  [
    "tensor 'words' has not as many rows as 'words#rows'",
    train,
    { logits: f32(2, 1), words: f32(2, 4), "words#rows": i32(3) },
  ],
])("%s", (fault, operation, tensors) => {
  expect(findFault(operation, tensors)).toBe(fault);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])("%d is told with its place", (value) => {
  const logits = f32(3, 1);
  logits.data[2] = value;
  expect(findFault(score, { logits })).toBe(`tensor 'logits' holds ${value} at 2`);
});

describe("artifacts of a result", () => {
  const [weights, means, squares] = ["1", "2", "3"].map((digit) => digit.repeat(64)) as [
    string,
    string,
    string,
  ];
  const state = { weights, means, squares };
  const store = (sizes: Readonly<Record<string, number>>) => ({
    find: async (digest: string) => (digest === "a".repeat(64) ? { path: "weights", bytes: 100 } : undefined),
    uploads: { bytes: async (digest: string) => sizes[digest] },
  });

  test("are a whole state after a segment, and nothing after anything else", () => {
    expect(findArtifactFault(trainRun, state)).toBeUndefined();
    expect(findArtifactFault(trainRun, { weights, means })).toBe("artifact 'squares' is missing");
    expect(findArtifactFault(trainRun, { ...state, more: weights })).toBe(
      "artifact 'more' was not asked for",
    );
    expect(findArtifactFault(score, undefined)).toBeUndefined();
    expect(findArtifactFault(score, { weights })).toBe("artifact 'weights' was not asked for");
  });

  test("have the size of the weights that the segment began with, and were uploaded", async () => {
    const whole = { [weights]: 100, [means]: 100, [squares]: 100 };
    expect(await findStateFault(trainRun, state, store(whole))).toBeUndefined();
    expect(await findStateFault(trainRun, state, store({ ...whole, [means]: 99 }))).toBe(
      "artifact 'means' has 99 bytes instead of 100",
    );
    expect(await findStateFault(trainRun, state, store({ [weights]: 100 }))).toBe(
      "artifact 'means' was not uploaded",
    );
  });
});
