import { closest, distance } from "fastest-levenshtein";
import { z } from "zod";
import { parseJson, printable } from "../../proto/json-text.ts";
import { ModelError } from "./errors.ts";
import { ignoredKeys } from "./known-keys.ts";

/** What every architecture's configuration says. */
export interface CommonConfig {
  /** Size of a word vector. */
  readonly hiddenSize: number;
  readonly vocabSize: number;
  readonly padId: number;
  /** Layers, of one stack where there are two. */
  readonly layers: number;
  readonly heads: number;
  /** Names of the labels in index order; empty where the file names none. */
  readonly labels: readonly string[];
}

export const size = (most: number) => z.number().int().min(1).max(most);
/** Deviation, or a factor of deviations, of weights before training. */
export const deviation = z.number().min(0).max(1_000);
export const must = <T extends z.ZodType>(schema: T) => schema.optional();

/** Keys that every architecture reads alike. */
export const commonKeys = {
  vocab_size: size(16_777_216),
  id2label: z.record(z.string().regex(/^\d+$/), z.string()).nullish(),
  num_labels: size(65_536).optional(),
  pruned_heads: must(z.strictObject({}).nullable()),
  problem_type: must(z.literal("single_label_classification").nullable()),
};

/** The text of a JSON object; ModelError where it is none. */
export function parseObject(text: string, file: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (cause) {
    throw new ModelError(file, "JSON", (cause as Error).message);
  }
  if (json === null || typeof json !== "object" || Array.isArray(json)) {
    throw new ModelError(file, "JSON", `expected an object, found ${show(json)}`);
  }
  return json as Record<string, unknown>;
}

/** The keys of a schema; ModelError with key and value where one is unknown, missing or wrong. `unused` keys have no meaning here. */
export function readKeys<S extends z.ZodRawShape>(
  schema: z.ZodObject<S>,
  json: Record<string, unknown>,
  file: string,
  unused: readonly string[] = [],
): z.infer<z.ZodObject<S>> {
  const used = Object.keys(schema.shape);
  for (const [key, value] of Object.entries(json)) {
    if (key.startsWith("_") || used.includes(key) || unused.includes(key) || ignoredKeys.has(key)) continue;
    const near = closest(key, used);
    const hint = distance(key, near) <= 3 ? `; did you mean '${near}'?` : "";
    throw new ModelError(file, key, `unknown key (value ${show(value)})${hint}`);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw firstIssue(parsed.error, json, file);
  return parsed.data;
}

function firstIssue(error: z.ZodError, json: Record<string, unknown>, file: string): ModelError {
  const issue = error.issues[0]!;
  const field = issue.path.join(".");
  const found = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)?.[key], json);
  if (found === undefined) return new ModelError(file, field, "missing");
  return new ModelError(file, field, `found ${show(found)}: ${issue.message}`);
}

/** ModelError where the heads do not divide the hidden size. */
export function checkHeads(
  heads: number,
  hiddenSize: number,
  [headsKey, sizeKey]: [string, string],
  file: string,
): void {
  if (hiddenSize % heads === 0) return;
  throw new ModelError(file, headsKey, `${heads} does not divide ${sizeKey} ${hiddenSize}`);
}

/** ModelError where padding is no id of the vocabulary. */
export function checkPadId(padId: number, vocabSize: number, file: string): void {
  if (padId < vocabSize) return;
  throw new ModelError(file, "pad_token_id", `${padId} is no id below vocab_size ${vocabSize}`);
}

/** The labels' names, in the order of their ids. */
export function labelNames(
  {
    id2label,
    num_labels,
  }: {
    readonly id2label?: Readonly<Record<string, string>> | null | undefined;
    readonly num_labels?: number | undefined;
  },
  file: string,
): string[] {
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
export function show(value: unknown): string {
  const text = printable(JSON.stringify(value) ?? "nothing");
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
