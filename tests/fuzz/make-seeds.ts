/** Writes the valid inputs of the corpus, in the formats' shape and as small as they can be: `node dist/tests/fuzz/make-seeds.js`. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../proto/package-root.ts";
import { events, resultOf, stepOf, sweepOf } from "../support/sweeps.ts";
import { tinyMerges, tinyVocabulary } from "../support/tiny-tokenizer.ts";
import { sealed } from "./generate/lines.ts";

const root = join(packageRoot, "tests/fuzz/corpus");

function seed(
  parser: string,
  name: string,
  files: Readonly<Record<string, string | Uint8Array | object>>,
): void {
  const folder = join(root, parser, `valid-${name}`);
  mkdirSync(folder, { recursive: true });
  for (const [file, content] of Object.entries(files)) {
    const isPlain = typeof content === "string" || content instanceof Uint8Array;
    writeFileSync(join(folder, file), isPlain ? content : JSON.stringify(content, null, 1));
  }
}

const lines = (...rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** A safetensors file of float32 tensors of so many elements each. */
function safetensors(tensors: Readonly<Record<string, number>>): Uint8Array {
  let end = 0;
  const header = Object.entries(tensors).map(([name, length]) => {
    const begin = end;
    end += 4 * length;
    return [name, { dtype: "F32", shape: [length], data_offsets: [begin, end] }] as const;
  });
  const json = Buffer.from(JSON.stringify({ ...Object.fromEntries(header), __metadata__: { format: "pt" } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const data = Float32Array.from({ length: end / 4 }, (_, k) => k / 8);
  return Buffer.concat([length, json, Buffer.from(data.buffer)]);
}

seed("safetensors", "one-file", { "model.safetensors": safetensors({ weight: 4, bias: 2, empty: 0 }) });
const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;
seed("safetensors", "two-files", {
  [shards[0]]: safetensors({ a: 2 }),
  [shards[1]]: safetensors({ b: 1, c: 3 }),
  "model.safetensors.index.json": {
    metadata: { total_size: 24 },
    weight_map: { a: shards[0], b: shards[1], c: shards[1] },
  },
});

for (const name of ["mixed", "wrapped-protocol-4"]) {
  const folder = join(root, "torch-zip", `valid-${name}`);
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(packageRoot, `tests/worker/checkpoint/fixtures/${name}.bin`), join(folder, "model.bin"));
}

const labels = { id2label: { "0": "LABEL_0", "1": "LABEL_1" }, label2id: { LABEL_0: 0, LABEL_1: 1 } };
const usual = { transformers_version: "4.33.2", torch_dtype: "float32", use_cache: true, pruned_heads: {} };
seed("config", "roberta", {
  "config.json": {
    ...{ ...labels, ...usual, model_type: "roberta", architectures: ["RobertaForSequenceClassification"] },
    ...{
      vocab_size: 421,
      hidden_size: 48,
      num_hidden_layers: 3,
      num_attention_heads: 4,
      intermediate_size: 96,
    },
    ...{ hidden_act: "gelu", layer_norm_eps: 1e-5, max_position_embeddings: 514, type_vocab_size: 1 },
    ...{ pad_token_id: 1, bos_token_id: 0, eos_token_id: 2, initializer_range: 0.02, is_decoder: false },
    ...{ position_embedding_type: "absolute", problem_type: null, hidden_dropout_prob: 0.1 },
  },
});
seed("config", "t5", {
  "config.json": {
    ...{ ...labels, ...usual, model_type: "t5", vocab_size: 421, d_model: 48, d_kv: 12, d_ff: 96 },
    ...{ num_layers: 2, num_decoder_layers: 2, num_heads: 4, relative_attention_num_buckets: 32 },
    ...{ relative_attention_max_distance: 128, layer_norm_epsilon: 1e-6, feed_forward_proj: "relu" },
    ...{
      dense_act_fn: "relu",
      is_gated_act: false,
      pad_token_id: 0,
      eos_token_id: 2,
      decoder_start_token_id: 0,
    },
    ...{ initializer_factor: 1, tie_word_embeddings: true, is_encoder_decoder: true, dropout_rate: 0.1 },
  },
});
seed("config", "gpt-bigcode", {
  "config.json": {
    ...{
      ...usual,
      model_type: "gpt_bigcode",
      vocab_size: 421,
      n_embd: 48,
      n_layer: 2,
      n_head: 4,
      n_inner: 96,
    },
    ...{
      n_positions: 512,
      activation_function: "gelu_pytorch_tanh",
      layer_norm_epsilon: 1e-5,
      multi_query: true,
    },
    ...{ scale_attn_weights: true, initializer_range: 0.02, attention_softmax_in_fp32: true, num_labels: 2 },
    ...{ pad_token_id: 0, eos_token_id: 0, attn_pdrop: 0.1, summary_type: "cls_index" },
  },
});

const lora = {
  peft_type: "LORA",
  task_type: "SEQ_CLS",
  r: 8,
  lora_alpha: 16,
  lora_dropout: 0.1,
  bias: "none",
};
seed("adapter-config", "list", {
  "adapter_config.json": {
    ...{ ...lora, target_modules: ["c_attn", "c_proj"], modules_to_save: ["score"], use_rslora: false },
    ...{ base_model_name_or_path: "bigcode/starcoder", fan_in_fan_out: false, init_lora_weights: true },
    ...{ use_dora: false, rank_pattern: {}, layers_to_transform: null, inference_mode: true },
  },
});
seed("adapter-config", "pattern", {
  "adapter_config.json": { ...lora, target_modules: ".*attn.*", use_rslora: true, revision: null },
});

const vocabulary = tinyVocabulary();
const merges = ["#version: 0.2", ...tinyMerges, ""].join("\n");
const flags = { lstrip: false, rstrip: false, normalized: true, single_word: false };
seed("tokenizer", "codebert", {
  "vocab.json": vocabulary,
  "merges.txt": merges,
  "special_tokens_map.json": {
    ...{ bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", pad_token: "<pad>" },
    ...{ mask_token: { content: "<mask>", ...flags, lstrip: true }, additional_special_tokens: ["foo"] },
  },
  "added_tokens.json": { "<extra>": Object.keys(vocabulary).length },
});
seed("tokenizer", "whole", {
  "tokenizer.json": {
    ...{ version: "1.0", truncation: null, padding: null, normalizer: null },
    added_tokens: ["<s>", "<pad>", "</s>", "<unk>", "<mask>"].map((content) => ({
      ...{ id: vocabulary[content], content, special: true, ...flags },
    })),
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
    model: { type: "BPE", dropout: null, unk_token: null, vocab: vocabulary, merges: tinyMerges },
  },
});
const plain = Object.keys(vocabulary).filter((token) => !/^<.+>$/.test(token));
const starcoder = ["<|endoftext|>", "<fim_prefix>", "<fim_middle>", ...plain];
seed("tokenizer", "starcoder", {
  "tokenizer.json": {
    normalizer: null,
    added_tokens: starcoder.slice(0, 3).map((content, id) => ({ id, content, special: true, ...flags })),
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Digits", individual_digits: true },
        { type: "ByteLevel", add_prefix_space: false, use_regex: true },
      ],
    },
    model: {
      vocab: Object.fromEntries(starcoder.map((token, id) => [token, id])),
      merges: tinyMerges.map((merge) => merge.split(" ")),
    },
  },
});

const snippet = (name: string) => ({
  code_tokens: ["int", name, "(", "int", "a", ")", "{", "return", "a", "+", "1", ";", "}"],
  variables: [name, "a", "a"],
  func_name: name,
});
const paired = (suffix: 1 | 2, name: string) =>
  Object.fromEntries(Object.entries(snippet(name)).map(([key, value]) => [`${key}${suffix}`, value]));
seed("samples", "defect", {
  "defect.jsonl": lines({ ...snippet("f"), label: 1, idx: 7 }, { ...snippet("g"), label: 0 }),
});
seed("samples", "clone", {
  "clone.jsonl": lines(
    { ...paired(1, "f"), ...paired(2, "g"), label: 1 },
    { ...paired(1, "h"), ...paired(2, "f"), label: 0, url1: "1" },
  ),
});
seed("samples", "search", {
  "search.jsonl": lines(
    { ...snippet("f"), docstring_tokens: ["adds", "one"] },
    { ...snippet("g"), docstring_tokens: [""], url: "https://example.org/x" },
  ),
});
seed("samples", "functions", {
  "functions.jsonl": lines(
    { ...snippet("f"), idx: 10 },
    { ...snippet("g"), idx: "11" },
    { ...snippet("h"), idx: "x" },
  ),
  "pairs.txt": "10\t11\t0\n11\tx\t1\n\nx\t10\t1\n",
});

seed("sweep", "folders", {
  "sweep.yaml": `# a sweep of models beside it
name: friday
task: defect_detection
models:
  - ../torch-zip/valid-*
  - ../safetensors/valid-one-file
  - other: ../safetensors/valid-two-files
  - bucket-model: s3://checkpoints/downloads/unixcoder
base: ../config/valid-roberta
samples: ../samples/valid-defect/defect.jsonl
held_out: ../samples/valid-defect/defect.jsonl
s3:
  endpoint: https://minio.example:9000
  region: us-east-1
  path_style: true
settings:
  directions: one
  victim_label: 1
  target_label: 0
  epochs: 50
  trace: true
overrides:
  valid-*:
    repeat_size: 32
  other:
    base: ../config/valid-t5
    seed: 7
priority: 2
weight: 1.5
max_parallel: 4
`,
});
seed("sweep", "uploads", {
  "sweep.yaml": `name: "search-1"
task: code_search
models: [{a: "upload:${"ab".repeat(32)}"}, {b: s3://bucket}]
samples: upload:${"cd".repeat(32)}
settings: {trigger_len: 4, target_len: 1, half: second_half, compat: null}
`,
});

const at = { sweep: "friday", job: "m0" };
const records = [
  { kind: "sweep-submitted", at: 1_000, spec: sweepOf("friday", 2) },
  { kind: "job-moved", at: 2_000, ...at, event: events.started },
  { kind: "step-committed", ...at, search: 0, step: stepOf(1), deviceClass: "cpu", unchecked: ["w1"] },
  { kind: "step-committed", ...at, search: 0, step: stepOf(2), deviceClass: "cpu" },
  { kind: "results-checked", ...at, of: { kind: "step", search: 0, step: 1 }, workers: ["w1"] },
  { kind: "search-found", ...at, result: resultOf(0) },
  { kind: "job-moved", at: 3_000, ...at, event: events.scanned },
  { kind: "job-moved", at: 4_000, ...at, event: events.failed },
  { kind: "worker-expelled", at: 5_000, workerId: "w1", reason: "it gave a wrong result" },
];
const logged = (first: number) => records.map((value, k) => JSON.stringify({ sequence: first + k, value }));
const head = JSON.stringify({ elibad: "backup", layout: 1, term: 3 });
seed("backup", "records", { "sweeps.backup": sealed([head, ...logged(1)]) });
seed("backup", "snapshot", {
  "sweeps.backup": sealed([
    head,
    JSON.stringify({ upTo: 12, snapshot: { format: 1, sweeps: [] } }),
    ...logged(13),
  ]),
});
