import type { Architecture } from "./architecture.ts";
import type { ModelConfig, ModelType } from "./config.ts";
import { gptBigCode } from "./gpt-bigcode/architecture.ts";
import { roberta } from "./roberta/architecture.ts";
import { t5 } from "./t5/architecture.ts";

/** Every architecture that elibad knows, by the `model_type` of its `config.json`. */
export const architectures: Readonly<Record<ModelType, Architecture>> = {
  roberta,
  t5,
  gpt_bigcode: gptBigCode,
};

export const architectureOf = ({ modelType }: Pick<ModelConfig, "modelType">): Architecture =>
  architectures[modelType];
