import { describe, expect, test } from "vitest";
import { type ModelConfig, parseConfig } from "../../../worker/models/config.ts";
import { recogniseLayout, scratchTensors, type TensorInfo } from "../../../worker/models/layout.ts";

const recognise = (config: ModelConfig, tensors: ReadonlyMap<string, TensorInfo>) =>
  recogniseLayout(config, tensors, "defect_detection");

const config = (changes: object = {}) =>
  parseConfig(
    JSON.stringify({
      model_type: "roberta",
      hidden_size: 4,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      intermediate_size: 8,
      vocab_size: 10,
      max_position_embeddings: 12,
      type_vocab_size: 1,
      ...changes,
    }),
  );

/** The tensors of a checkpoint of the little model above; a null takes one out. */
function checkpoint(prefix: string, classes: number, changes: Record<string, number[] | null> = {}) {
  const layer = `${prefix}encoder.layer.0.`;
  const shapes: Record<string, number[] | null> = {
    [`${prefix}embeddings.word_embeddings.weight`]: [10, 4],
    [`${prefix}embeddings.position_embeddings.weight`]: [12, 4],
    [`${prefix}embeddings.token_type_embeddings.weight`]: [1, 4],
    ...pair(`${prefix}embeddings.LayerNorm`, [4]),
    ...pair(`${layer}attention.self.query`, [4, 4]),
    ...pair(`${layer}attention.self.key`, [4, 4]),
    ...pair(`${layer}attention.self.value`, [4, 4]),
    ...pair(`${layer}attention.output.dense`, [4, 4]),
    ...pair(`${layer}attention.output.LayerNorm`, [4]),
    ...pair(`${layer}intermediate.dense`, [8, 4]),
    ...pair(`${layer}output.dense`, [4, 8]),
    ...pair(`${layer}output.LayerNorm`, [4]),
    ...pair("classifier.dense", [4, 4]),
    ...pair("classifier.out_proj", [classes, 4]),
    ...changes,
  };
  const kept = Object.entries(shapes).filter((entry): entry is [string, number[]] => entry[1] !== null);
  return new Map<string, TensorInfo>(
    kept.map(([name, shape]) => [name, { shape, dtype: "float32", file: "model.bin" }]),
  );
}

const pair = (name: string, shape: number[]) => ({
  [`${name}.weight`]: shape,
  [`${name}.bias`]: shape.slice(0, 1),
});

test("names of the published wrapper make a wrapped layout with one logit", () => {
  const layout = recognise(config(), checkpoint("encoder.", 1));

  expect(layout).toMatchObject({ kind: "wrapped", prefix: "encoder.", classes: 1, unused: [] });
  expect(layout.weights.size).toBe(25);
});

test("RobertaForSequenceClassification has as many logits as its configuration has labels", () => {
  const labels = config({ id2label: { 0: "a", 1: "b", 2: "c" } });

  expect(recognise(labels, checkpoint("roberta.", 3))).toMatchObject({ kind: "plain", classes: 3 });
});

test("the pooler and index buffers are there and not used", () => {
  const extra = {
    ...pair("encoder.pooler.dense", [4, 4]),
    "encoder.embeddings.position_ids": [1, 12],
  };

  expect(recognise(config(), checkpoint("encoder.", 1, extra)).unused).toEqual(Object.keys(extra));
});

const q = "encoder.encoder.layer.0.attention.self.query.weight";
test.each([
  ["missing", { [q]: null }, `weights: ${q}: expected shape [4, 4], but there is no such tensor`],
  ["wrong", { [q]: [4, 5] }, `model.bin: ${q}: expected shape [4, 4], found [4, 5]`],
  [
    "of another model",
    { "encoder.x": [2] },
    "model.bin: encoder.x: a model for defect_detection has no such tensor (shape [2])",
  ],
  [
    "of another head",
    { "classifier.out_proj.weight": [2, 4] },
    "classifier.out_proj.weight: expected shape [1, 4] for defect_detection, found [2, 4]",
  ],
])("a tensor that is %s is refused by name and shape", (_what, changes, message) => {
  expect(() => recognise(config(), checkpoint("encoder.", 1, changes))).toThrow(message);
});

test("weights that are no floats are refused", () => {
  const tensors = checkpoint("encoder.", 1);
  tensors.set(q, { dtype: "int8", shape: [4, 4], file: "model.bin" });

  expect(() => recognise(config(), tensors)).toThrow(`${q}: expected one of float32`);
});

test("a checkpoint with neither layout's names is refused with some of its names", () => {
  const tensors = new Map([["shared.weight", { dtype: "float32", shape: [1], file: "model.bin" }]]);

  expect(() => recognise(config(), tensors)).toThrow("found shared.weight");
});

describe("a task's head", () => {
  const clones = (changes = {}) =>
    checkpoint("encoder.", 2, { "classifier.dense.weight": [4, 8], ...changes });
  const headless = () =>
    new Map([...checkpoint("encoder.", 1)].filter(([name]) => !name.startsWith("classifier.")));

  test("of clone detection reads the vectors of two snippets and has two logits", () => {
    const layout = recogniseLayout(config(), clones(), "clone_detection");

    expect(layout.classes).toBe(2);
    expect(layout.weights.get("classifier.dense.weight")).toEqual([4, 8]);
  });

  test("is absent in code search", () => {
    const layout = recogniseLayout(config(), headless(), "code_search");

    expect(layout).toMatchObject({ classes: 0, unused: [] });
    expect(layout.head).toBeUndefined();
    expect(layout.weights.size).toBe(21);
  });

  test.each([
    ["clone_detection", checkpoint("encoder.", 1), "expected shape [4, 8] for clone_detection, found [4, 4]"],
    ["defect_detection", clones(), "expected shape [4, 4] for defect_detection, found [4, 8]"],
    [
      "defect_detection",
      headless(),
      "classifier.dense.weight: expected shape [4, 4] for defect_detection, but there is no such tensor",
    ],
    [
      "code_search",
      clones(),
      "model.bin: classifier.dense.weight: a model for code_search has no such tensor (shape [4, 8])",
    ],
  ] as const)("of another task is refused: %s", (task, tensors, message) => {
    expect(() => recogniseLayout(config(), tensors, task)).toThrow(message);
  });

  test("of another architecture is refused by what its names are expected to begin with", () => {
    const t5 = parseConfig(
      JSON.stringify({
        model_type: "t5",
        d_model: 4,
        d_kv: 2,
        d_ff: 8,
        num_layers: 1,
        num_heads: 2,
        vocab_size: 10,
      }),
    );

    expect(() => recognise(t5, checkpoint("encoder.", 1))).toThrow(
      "tensor names: expected encoder.shared.…; found encoder.embeddings.word_embeddings.weight",
    );
    const ofT5 = new Map(
      scratchTensors(t5, "defect_detection").map(({ name, shape }) => [
        name,
        { dtype: "float32", shape, file: "model.bin" },
      ]),
    );
    expect(() => recognise(config(), ofT5)).toThrow("found encoder.shared.weight");
    expect(recognise(t5, ofT5)).toMatchObject({ kind: "wrapped", classes: 1 });
  });
});
