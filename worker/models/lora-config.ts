import { z } from "zod";
import { parseObject, show, size } from "./config-json.ts";
import { ModelError } from "./errors.ts";

/** What an `adapter_config.json` of PEFT says of a LoRA adapter. */
export interface LoraConfig {
  /** Path of the file, for errors. */
  readonly file: string;
  /** Inner size r of the updates. */
  readonly rank: number;
  /** What b · a is multiplied with: α ÷ r, or α ÷ √r. */
  readonly scale: number;
  /** Last parts of the names of the layers with an update; absent: a pattern, so whatever the weights hold. */
  readonly targets?: readonly string[];
  /** Layers whose tensors the adapter brings along whole. */
  readonly saved: readonly string[];
  /** Name or path of the base, where it was trained; empty where the file says nothing. */
  readonly base: string;
}

const names = z.array(z.string().min(1));

const LoraJson = z.object({
  peft_type: z.literal("LORA"),
  r: size(65_536),
  lora_alpha: z.number(),
  use_rslora: z.boolean().nullish(),
  target_modules: z.union([names, z.string()]).nullish(),
  exclude_modules: z.union([names, z.string()]).nullish(),
  modules_to_save: names.nullish(),
  base_model_name_or_path: z.string().nullish(),
  bias: z.literal("none").default("none"),
  // PiSSA, OLoRA and the like change the base's weights before training; these do not.
  init_lora_weights: z.union([z.boolean(), z.literal("gaussian")]).nullish(),
});

/** Keys that change nothing here: bookkeeping, training, and `fan_in_fan_out`, which PEFT itself passes over for linear layers. */
const UNUSED: ReadonlySet<string> = new Set([
  "auto_mapping",
  "fan_in_fan_out",
  "inference_mode",
  "lora_dropout",
  "megatron_core",
  "peft_version",
  "qalora_group_size", // of `use_qalora`, which is refused; PEFT writes its default into every file
  "revision",
  "runtime_config",
  "task_type",
]);

/** Whether a value leaves what its key is about undone. */
const isOff = (value: unknown): boolean =>
  value === null ||
  value === false ||
  (typeof value === "object" && Object.values(value as object).length === 0);

/**
 * Reads the text of an `adapter_config.json`. Throws `ModelError` with file, key and value where it is no LoRA adapter of linear layers, or
 * has a key that is not known and not switched off (null, false, empty), such as `use_dora` or `rank_pattern`.
 */
export function parseLoraConfig(text: string, file: string): LoraConfig {
  const json = parseObject(text, file);
  for (const [key, value] of Object.entries(json)) {
    if (key in LoraJson.shape || UNUSED.has(key) || isOff(value)) continue;
    throw new ModelError(file, key, `not supported (value ${show(value)})`);
  }
  const parsed = LoraJson.safeParse(json);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    const field = String(path[0]);
    const found = field in json ? `found ${show(json[field])}: ${message}` : "missing";
    throw new ModelError(file, field, found);
  }
  const { r, lora_alpha, use_rslora, target_modules: targets, exclude_modules, ...rest } = parsed.data;
  const listed = Array.isArray(targets) && isOff(exclude_modules ?? null);
  return {
    file,
    rank: r,
    scale: lora_alpha / (use_rslora ? Math.sqrt(r) : r),
    ...(listed && { targets }),
    saved: rest.modules_to_save ?? [],
    base: rest.base_model_name_or_path ?? "",
  };
}
