import type { LengthLimit } from "./architecture.ts";
import { architectureOf, architectures } from "./architectures.ts";
import { parseObject, show } from "./config-json.ts";
import { ModelError } from "./errors.ts";
import type { GptBigCodeConfig } from "./gpt-bigcode/config.ts";
import type { RobertaConfig } from "./roberta/config.ts";
import type { T5Config } from "./t5/config.ts";

/** What a graph is built from: the keys of a `config.json` that change the computation, by `modelType`. */
export type ModelConfig = RobertaConfig | T5Config | GptBigCodeConfig;

export type ModelType = ModelConfig["modelType"];

/**
 * Reads the text of a `config.json`. Throws `ModelError` with file, key and value where it is no JSON object, of
 * another architecture, has a key that nobody knows, or a value that elibad cannot compute with.
 */
export function parseConfig(text: string, file = "config.json"): ModelConfig {
  const json = parseObject(text, file);
  const modelType = json.model_type;
  if (typeof modelType !== "string") {
    throw new ModelError(
      file,
      "model_type",
      `expected the name of an architecture, found ${show(modelType)}`,
    );
  }
  if (!Object.hasOwn(architectures, modelType)) {
    const known = Object.keys(architectures).map((name) => `'${name}'`);
    throw new ModelError(
      file,
      "model_type",
      `'${modelType}' is not supported yet; supported: ${known.join(", ")}`,
    );
  }
  return architectures[modelType as ModelType].parseConfig(json, file);
}

/** Most tokens of a row, both end tokens included, and the key that says so; undefined: no limit. */
export const longestRow = (config: ModelConfig): LengthLimit | undefined =>
  architectureOf(config).longestRow(config);
