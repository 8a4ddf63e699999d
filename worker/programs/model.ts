import type { ProgramForm, Task } from "../../proto/operations.ts";
import type { Graph } from "../graph/index.ts";
import type { ModelInGraph } from "../models/architecture.ts";
import type { ModelConfig } from "../models/config.ts";
import type { ModelLayout } from "../models/layout.ts";
import { type StoredWeight, weightsOf } from "../models/weights.ts";

/** A checkpoint as programs see it: its task, what its configuration says, how its tensors are named, and where they lie. */
export interface StoredModel {
  readonly task: Task;
  readonly config: ModelConfig;
  readonly layout: ModelLayout;
  readonly stored: ReadonlyMap<string, StoredWeight>;
}

export interface ModelOptions {
  /** Names of the weights that are inputs of the program; absent: all are mapped from the checkpoint. */
  readonly fed?: ReadonlySet<string> | undefined;
  readonly form?: ProgramForm;
}

/** The model inside a graph. */
export const modelIn = (
  graph: Graph,
  model: StoredModel,
  { fed, form = "primitive" }: ModelOptions = {},
): ModelInGraph => ({
  graph,
  config: model.config,
  layout: model.layout,
  weights: weightsOf(graph, model.stored, fed),
  form,
});
