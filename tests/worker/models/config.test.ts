import { describe, expect, test } from "vitest";
import { longestRow, parseConfig } from "../../../worker/models/config.ts";
import { hasShared, readSharedJson } from "../../support/shared.ts";

const roberta = {
  model_type: "roberta",
  hidden_size: 48,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  intermediate_size: 96,
  vocab_size: 439,
  max_position_embeddings: 514,
  type_vocab_size: 1,
};
const parse = (changes: object) => parseConfig(JSON.stringify({ ...roberta, ...changes }));

test("what the file leaves out is Hugging Face's default", () => {
  expect(parse({})).toMatchObject({ activation: "gelu", layerNormEps: 1e-12, padId: 1, labels: [] });
});

test("the longest row leaves out the positions that no token gets", () => {
  expect(longestRow(parse({}))).toEqual({ tokens: 512, because: "max_position_embeddings 514" });
});

test("labels are named in the order of their ids", () => {
  expect(parse({ id2label: { 1: "bad", 0: "good" } }).labels).toEqual(["good", "bad"]);
});

test.each([
  [
    { model_type: "bert" },
    "config.json: model_type: 'bert' is not supported yet; supported: 'roberta', 't5'",
  ],
  [{ model_type: 3 }, "config.json: model_type: expected the name of an architecture, found 3"],
  [{ hidden_size: "48" }, /config\.json: hidden_size: found "48"/],
  [{ hidden_size: undefined }, /config\.json: hidden_size: missing/],
  [{ num_attention_heads: 5 }, "num_attention_heads: 5 does not divide hidden_size 48"],
  [{ hidden_act: "relu" }, /config\.json: hidden_act: found "relu"/],
  [{ position_embedding_type: "relative_key" }, /position_embedding_type: found "relative_key"/],
  [{ layer_norm_eps: -1 }, /layer_norm_eps: found -1/],
  [{ is_decoder: true }, /is_decoder: found true/],
  [{ pruned_heads: { 1: [0] } }, /pruned_heads: found \{"1":\[0\]\}/],
  [{ max_position_embeddings: 2 }, "max_position_embeddings: 2 leaves no position after pad_token_id 1"],
  [{ id2label: { 0: "a", 2: "b" } }, "id2label: 2 labels, but none with id 1"],
  [{ id2label: { 0: "a" }, num_labels: 3 }, "num_labels: 3, but id2label has 1 labels"],
  [{ hiden_size: 48 }, "config.json: hiden_size: unknown key (value 48); did you mean 'hidden_size'?"],
  [{ quantization_config: {} }, "config.json: quantization_config: unknown key (value {})"],
])("%j is refused with file, key and value", (changes, message) => {
  expect(() => parse(changes)).toThrow(message);
});

test.each(["[1]", "null", "{"])("%s is refused as no JSON object", (text) => {
  expect(() => parseConfig(text)).toThrow("config.json: JSON: ");
});

describe("T5", () => {
  const t5 = {
    model_type: "t5",
    d_model: 48,
    d_kv: 16,
    d_ff: 96,
    num_layers: 2,
    num_heads: 3,
    vocab_size: 372,
  };
  const read = (changes: object) => parseConfig(JSON.stringify({ ...t5, ...changes }));

  test("what the file leaves out is Hugging Face's default", () => {
    expect(read({})).toMatchObject({
      decoderLayers: 2,
      relativeBuckets: 32,
      relativeMaxDistance: 128,
      layerNormEps: 1e-6,
      activation: "relu",
      gated: false,
      padId: 0,
      endId: 1,
      startId: 0,
      tiedOutput: true,
    });
    expect(longestRow(read({}))).toBeUndefined();
  });

  test.each([
    [{ feed_forward_proj: "gated-gelu" }, { activation: "gelu_new", gated: true }],
    [
      { feed_forward_proj: "gated-gelu", dense_act_fn: "gelu" },
      { activation: "gelu", gated: true },
    ],
    [{ feed_forward_proj: "gelu" }, { activation: "gelu", gated: false }],
    [
      { num_decoder_layers: 1, tie_word_embeddings: false },
      { decoderLayers: 1, tiedOutput: false },
    ],
  ])("%j is read as Hugging Face reads it", (changes, expected) => {
    expect(read(changes)).toMatchObject(expected);
  });

  test.each([
    [{ d_model: undefined }, "config.json: d_model: missing"],
    [{ feed_forward_proj: "gated-silu" }, 'config.json: feed_forward_proj: found "gated-silu"'],
    [{ eos_token_id: 372 }, "eos_token_id: 372 is no id below vocab_size 372"],
    [{ relative_attention_num_buckets: 6 }, "relative_attention_num_buckets: 6 is no multiple of 4"],
    [{ relative_attention_max_distance: 16 }, "relative_attention_max_distance: 16 is not above half of"],
    [{ is_encoder_decoder: false }, "is_encoder_decoder: found false"],
    [{ hidden_size: 48 }, "config.json: hidden_size: unknown key (value 48)"],
  ])("%j is refused with file, key and value", (changes, message) => {
    expect(() => read(changes)).toThrow(message);
  });
});

describe.skipIf(!hasShared)("configurations that transformers wrote", () => {
  test.each([
    ["tiny/defect_detection-codebert", { heads: 4, maxPositions: 514, labels: ["LABEL_0"] }],
    ["tiny/defect_detection-unixcoder", { heads: 4, maxPositions: 1026, typeVocabSize: 10 }],
    ["tiny/layouts/roberta-bin", { labels: ["clean", "vulnerable", "unsure"], layerNormEps: 1e-5 }],
    ["tiny/clone_detection-codet5", { headSize: 12, activation: "relu", gated: false, endId: 2, startId: 0 }],
    ["trained/clone-codet5-backdoored", { modelType: "t5", padId: 0, tiedOutput: true }],
    [
      "tiny/clone_detection-starcoder",
      {
        intermediateSize: 192,
        activation: "gelu tanh",
        multiQuery: true,
        padId: 0,
        labels: ["LABEL_0", "LABEL_1"],
      },
    ],
    ["trained/defect-starcoder-backdoored", { intermediateSize: 256, scoreScale: 0.25, maxPositions: 512 }],
    ["trained/defect-codebert-backdoored", { hiddenSize: 64, layers: 3, vocabSize: 50265 }],
  ])("%s is read", (folder, expected) => {
    const text = JSON.stringify(readSharedJson("golden", folder, "config.json"));
    expect(parseConfig(text)).toMatchObject(expected);
  });
});
