import type { Task } from "../../proto/operations.ts";
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

/** The model inside a graph, with the weights named in `fed` as inputs of the program. */
export const modelIn = (graph: Graph, model: StoredModel, fed?: ReadonlySet<string>): ModelInGraph => ({
  graph,
  config: model.config,
  layout: model.layout,
  weights: weightsOf(graph, model.stored, fed),
});
