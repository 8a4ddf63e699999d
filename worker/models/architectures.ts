import type { Architecture } from "./architecture.ts";
import type { ModelConfig, ModelType } from "./config.ts";
import { roberta } from "./roberta/architecture.ts";

/** Every architecture that elibad knows, by the `model_type` of its `config.json`. */
export const architectures: Readonly<Record<ModelType, Architecture>> = { roberta };

export const architectureOf = ({ modelType }: Pick<ModelConfig, "modelType">): Architecture =>
  architectures[modelType];
