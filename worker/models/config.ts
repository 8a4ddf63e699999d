import { closest, distance } from "fastest-levenshtein";
import { z } from "zod";
import { ModelError } from "./errors.ts";
import { ignoredKeys } from "./known-keys.ts";

/** Activations of the feed-forward layers, by the names that configurations use. */
export type Activation = "gelu";

/** What a RoBERTa graph is built from: the keys of its `config.json` that change the computation. */
export interface RobertaConfig {
  readonly modelType: "roberta";
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly intermediateSize: number;
  readonly activation: Activation;
  readonly layerNormEps: number;
  readonly vocabSize: number;
  /** Rows of the position table; the first `padId + 1` of them are never a real token's. */
  readonly maxPositions: number;
  readonly typeVocabSize: number;
  readonly padId: number;
  /** Names of the labels in index order; empty where the file names none. */
  readonly labels: readonly string[];
}

/** Longest row in tokens, both end tokens included: positions are counted from `padId + 1`. */
export const longestRow = ({ maxPositions, padId }: RobertaConfig): number => maxPositions - padId - 1;

const size = (most: number) => z.number().int().min(1).max(most);
const must = <T extends z.ZodType>(schema: T) => schema.optional();

/** Defaults are those of Hugging Face's `RobertaConfig`; sizes have none, since a guess would only fail later. */
const RobertaJson = z.object({
  model_type: z.literal("roberta"),
  hidden_size: size(65_536),
  num_hidden_layers: size(512),
  num_attention_heads: size(1_024),
  intermediate_size: size(1_048_576),
  hidden_act: z.enum(["gelu"]).default("gelu"),
  layer_norm_eps: z.number().positive().max(1).default(1e-12),
  vocab_size: size(16_777_216),
  max_position_embeddings: size(1_048_576),
  type_vocab_size: size(65_536),
  pad_token_id: z.number().int().min(0).default(1),
  position_embedding_type: z.literal("absolute").default("absolute"),
  id2label: z.record(z.string().regex(/^\d+$/), z.string()).nullish(),
  num_labels: size(65_536).optional(),
  is_decoder: must(z.literal(false)),
  is_encoder_decoder: must(z.literal(false)),
  add_cross_attention: must(z.literal(false)),
  pruned_heads: must(z.strictObject({}).nullable()),
  problem_type: must(z.literal("single_label_classification").nullable()),
});

type RobertaJson = z.infer<typeof RobertaJson>;

/**
 * Reads the text of a `config.json`. Throws `ModelError` with file, key and value where it is no JSON object, of
 * another architecture, has a key that nobody knows, or a value that elibad cannot compute with.
 */
export function parseConfig(text: string, file = "config.json"): RobertaConfig {
  const json = parseObject(text, file);
  const modelType = json.model_type;
  if (typeof modelType !== "string") {
    throw new ModelError(
      file,
      "model_type",
      `expected the name of an architecture, found ${show(modelType)}`,
    );
  }
  if (modelType !== "roberta") {
    throw new ModelError(file, "model_type", `'${modelType}' is not supported yet; supported: 'roberta'`);
  }
  refuseUnknownKeys(json, file);
  const parsed = RobertaJson.safeParse(json);
  if (!parsed.success) throw firstIssue(parsed.error, json, file);
  return checked(parsed.data, file);
}

function parseObject(text: string, file: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ModelError(file, "JSON", (cause as Error).message);
  }
  if (json === null || typeof json !== "object" || Array.isArray(json)) {
    throw new ModelError(file, "JSON", `expected an object, found ${show(json)}`);
  }
  return json as Record<string, unknown>;
}

function refuseUnknownKeys(json: Record<string, unknown>, file: string): void {
  const used = Object.keys(RobertaJson.shape);
  for (const [key, value] of Object.entries(json)) {
    if (key.startsWith("_") || used.includes(key) || ignoredKeys.has(key)) continue;
    const near = closest(key, used);
    const hint = distance(key, near) <= 3 ? `; did you mean '${near}'?` : "";
    throw new ModelError(file, key, `unknown key (value ${show(value)})${hint}`);
  }
}

function firstIssue(error: z.ZodError, json: Record<string, unknown>, file: string): ModelError {
  const issue = error.issues[0]!;
  const field = issue.path.join(".");
  const found = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)?.[key], json);
  if (found === undefined) return new ModelError(file, field, "missing");
  return new ModelError(file, field, `found ${show(found)}: ${issue.message}`);
}

/** What the keys mean together. */
function checked(json: RobertaJson, file: string): RobertaConfig {
  const { hidden_size: hiddenSize, num_attention_heads: heads, pad_token_id: padId } = json;
  if (hiddenSize % heads !== 0) {
    throw new ModelError(file, "num_attention_heads", `${heads} does not divide hidden_size ${hiddenSize}`);
  }
  if (padId >= json.vocab_size) {
    throw new ModelError(file, "pad_token_id", `${padId} is no id below vocab_size ${json.vocab_size}`);
  }
  if (json.max_position_embeddings <= padId + 1) {
    const found = `${json.max_position_embeddings} leaves no position after pad_token_id ${padId}`;
    throw new ModelError(file, "max_position_embeddings", found);
  }
  return {
    modelType: "roberta",
    hiddenSize,
    layers: json.num_hidden_layers,
    heads,
    intermediateSize: json.intermediate_size,
    activation: json.hidden_act,
    layerNormEps: json.layer_norm_eps,
    vocabSize: json.vocab_size,
    maxPositions: json.max_position_embeddings,
    typeVocabSize: json.type_vocab_size,
    padId,
    labels: labelNames(json, file),
  };
}

function labelNames({ id2label, num_labels }: RobertaJson, file: string): string[] {
  const byId = id2label ?? {};
  const count = Object.keys(byId).length;
  const names = Array.from({ length: count }, (_, id) => {
    const name = byId[id];
    if (name === undefined) throw new ModelError(file, "id2label", `${count} labels, but none with id ${id}`);
    return name;
  });
  if (num_labels === undefined || count === num_labels) return names;
  if (count > 0) throw new ModelError(file, "num_labels", `${num_labels}, but id2label has ${count} labels`);
  return Array.from({ length: num_labels }, (_, id) => `LABEL_${id}`);
}

/** A value in an error message: JSON, cut where it is long. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
