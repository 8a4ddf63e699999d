import type { Task } from "../../proto/operations.ts";
import { architectureOf } from "./architectures.ts";
import type { ModelConfig } from "./config.ts";

/** Whether the head reads the vectors of two snippets. */
export const joinsSnippets = (task: Task, config: ModelConfig): boolean =>
  task === "clone_detection" && architectureOf(config).clones === "joined";

/** Numbers that a head reads of a row; in code search, those of the row's vector. */
export const featureSize = (task: Task, config: ModelConfig): number =>
  joinsSnippets(task, config) ? 2 * config.hiddenSize : config.hiddenSize;
