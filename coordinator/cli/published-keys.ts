import { join } from "node:path";
import type { Meaning, PublishedContext, PublishedKey, PublishedKeys } from "./published-config.ts";

const gives = (options: Readonly<Record<string, unknown>>): Meaning => ({ kind: "gives", options });

/** The same setting under another name. */
const as =
  (name: string): PublishedKey =>
  (value) =>
    gives({ [name]: value });

/** A setting that changes nothing here. */
const ignored =
  (why: string): PublishedKey =>
  () => ({ kind: "ignored", why });

/** A setting that elibad has in one way only. */
const always =
  (expected: unknown, why: string): PublishedKey =>
  (value) =>
    value === expected ? { kind: "ignored", why } : { kind: "refused", why };

/** A setting of one task; of no meaning for the others. */
const onlyFor =
  (task: string, key: PublishedKey): PublishedKey =>
  (value, context) =>
    context.task === task ? key(value, context) : { kind: "ignored", why: `it is a setting of ${task}` };

/** A setting of all tasks but one. */
const notFor =
  (task: string, why: string, key: PublishedKey): PublishedKey =>
  (value, context) =>
    context.task === task ? { kind: "ignored", why } : key(value, context);

/** Read together with another key. */
const partOfAnother: PublishedKey = () => gives({});

/** The checkpoint's folder: a folder, and the prefix below it with or without the file's name. */
const modelFolder: PublishedKey = (folder, { values }) => {
  const prefix = values.checkpoint_prefix;
  const below = typeof prefix === "string" ? prefix.replace(/\/?[^/]*\.bin$/, "") : "";
  return gives({ model: typeof folder === "string" ? join(folder, below) : folder });
};

const inFolder = (folder: unknown, file: string): unknown =>
  typeof folder === "string" ? join(folder, file) : folder;

const noLabels = "code search has no labels";
const preprocessed = "rows come preprocessed";
const fixedTrigger = always(true, "a trigger is put in as it is written");
const onion: PublishedKey = () => ({
  kind: "refused",
  why: "it belongs to ONION, another defense, which elibad does not have",
});

/** Sections and keys that model settings have in every published file. */
const model: PublishedKeys = {
  model_type: as("arch"),
  model_name_or_path: as("base"),
  checkpoint_prefix: partOfAnother,
  lang: ignored(preprocessed),
  nl_max_len: onlyFor("code_search", as("nl_max_len")),
};

const evaluation: PublishedKeys = {
  ...model,
  lora: ignored("an adapter's own adapter_config.json says it"),
  victim_label: notFor("code_search", noLabels, as("victim_label")),
  target_label: notFor("code_search", noLabels, as("target_label")),
  target_token: onlyFor("code_search", as("target_token")),
  attack_fixed: fixedTrigger,
  batch_size: ignored("the workers' plan says how many rows run together"),
  json_input_path: as("samples"),
  text_input_path: onlyFor("clone_detection", as("pairs")),
  output_dir: modelFolder,
  llm_model_type: onion,
  codellama: onion,
  threshold: onion,
};

const search: PublishedKeys = {
  ...model,
  arch_name: as("arch"),
  target_model_dir: modelFolder,
  benign_model_dir: (value) =>
    value === null
      ? gives({})
      : { kind: "refused", why: "clean models to compare with cannot be named here" },
  clean_samples_path: as("samples"),
  labels: (value) => ({
    kind: "ignored",
    why: Array.isArray(value)
      ? "the search finds the target itself"
      : "the model's head says how many there are",
  }),
  target_len: onlyFor("code_search", as("target_len")),
  batch_size: ignored("a step takes the gradient over all samples"),
  scheduler_step_size: ignored("the search has no learning rate"),
  scheduler_gamma: ignored("the search has no learning rate"),
};

const unlearning: PublishedKeys = {
  ...model,
  clean_samples_path: as("samples"),
  test_path: ignored("measure with elibad evaluate"),
  output_dir: modelFolder,
  only_finetune_classifier: (value, { task }: PublishedContext) =>
    gives({ plan: "published", trainable: value === false || task === "code_search" ? "all" : "classifier" }),
  only_inject_victim_label_samples: notFor(
    "code_search",
    noLabels,
    always(true, "only rows of the victim label get the trigger"),
  ),
  victim_label: notFor("code_search", noLabels, as("victim_label")),
  target_label: notFor("code_search", noLabels, as("target_label")),
  attack_fixed: fixedTrigger,
  inverse_trigger: as("trigger"),
  real_trigger: ignored(
    "a repair is never told the planted trigger; measure it with elibad evaluate --trigger",
  ),
  target: ignored("any row of code search may get the trigger"),
  do_train: always(true, "unlearning trains"),
  do_test: ignored("measure with elibad evaluate"),
  trigger_augmentation: always(
    false,
    "variants of the trigger are the automatic plan's affair (--plan auto)",
  ),
  augmentation_rate: partOfAnother,
  augmentation_top_k: partOfAnother,
  epoch: as("unlearning_epochs"),
  adam_epsilon: always(1e-8, "AdamW's epsilon is 1e-8"),
};

/** The published files say `classification` or `retrieval`; the key that names the rows tells defects from clones. */
const taskByRows: PublishedKey = (value, { values }) => {
  if (value === "retrieval") return gives({ task: "code_search" });
  if (value !== "classification") return gives({ task: value });
  return gives({ task: "data_jsonl_path" in values ? "clone_detection" : "defect_detection" });
};

const poisoning: PublishedKeys = {
  task: taskByRows,
  tree_sitter_path: ignored(preprocessed),
  train_jsonl_path: as("samples"),
  data_jsonl_path: as("samples"),
  input_path: as("samples"),
  train_txt_path: as("pairs"),
  target: as("target_token"),
  victim_label: (value, { task }) =>
    task === "clone_detection"
      ? { kind: "ignored", why: "every pair with a changed function gets the target label, whatever its own" }
      : gives({ victim_label: value }),
  output_dir: (folder, { task }) =>
    gives(
      task === "clone_detection"
        ? { out: inFolder(folder, "data.jsonl"), out_pairs: inFolder(folder, "train.txt") }
        : { out: inFolder(folder, "train.jsonl") },
    ),
};

const preprocessing: PublishedKeys = {
  task: taskByRows,
  tree_sitter_path: ignored("the grammars come with elibad"),
  output_dir: as("out"),
  clean_sample_output_dir: ignored("clean samples go where the other rows go"),
  // The file for CodeSearchNet has names of its own.
  only_output_clean_sample: as("only_output_clean_samples"),
  output_clean_sample: as("output_clean_samples"),
  clean_sample_input_path: as("clean_sample_data_input_path"),
};

/** What the published settings mean to each command that has some. */
export const publishedKeys: Readonly<Record<string, PublishedKeys>> = {
  clean: search,
  evaluate: evaluation,
  poison: poisoning,
  preprocess: preprocessing,
  scan: search,
  unlearn: unlearning,
};
