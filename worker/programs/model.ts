import type { Graph } from "../graph/index.ts";
import type { RobertaConfig } from "../models/config.ts";
import type { RobertaLayout } from "../models/layout.ts";
import type { Roberta } from "../models/roberta.ts";
import { type StoredWeight, weightsOf } from "../models/weights.ts";

/** A checkpoint as programs see it: what its configuration says, how its tensors are named, and where they lie. */
export interface StoredModel {
  readonly config: RobertaConfig;
  readonly layout: RobertaLayout;
  readonly stored: ReadonlyMap<string, StoredWeight>;
}

/** The model inside a graph, with the weights named in `fed` as inputs of the program. */
export const modelIn = (graph: Graph, model: StoredModel, fed?: ReadonlySet<string>): Roberta => ({
  config: model.config,
  layout: model.layout,
  weights: weightsOf(graph, model.stored, fed),
});
