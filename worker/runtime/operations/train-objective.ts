import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { MicroBatch, Tensor } from "../../../proto/operations.ts";
import { featureSize } from "../../models/features.ts";
import { labelTargets } from "../../programs/loss.ts";
import type { StoredModel } from "../../programs/model.ts";
import { labelCount } from "./gradient.ts";

/** Throws OperationFailed where a step's numbers do not belong together, or to the model's task. */
export function checkStep(
  { rows, rowWeights, objective, dropout }: MicroBatch & { readonly dropout: number },
  model: StoredModel,
  what = "train-step",
): void {
  const { task, config, layout } = model;
  const { classes } = layout;
  const fail = (reason: string): never => {
    throw new OperationFailed(`${what}: ${reason}`);
  };
  if (rows.length === 0) fail("no rows");
  if (!(dropout >= 0 && dropout < 1)) fail(`dropout ${dropout} is not in [0, 1)`);
  if ((objective.kind === "vectors") !== (task === "code_search")) {
    fail(`${objective.kind} are no objective of a model for ${task}`);
  }
  const given = perRow(objective);
  if (rowWeights.length !== rows.length || given.length !== rows.length) {
    fail(`${rows.length} rows, ${rowWeights.length} row weights and ${given.length} ${objective.kind}`);
  }
  switch (objective.kind) {
    case "labels": {
      const odd = objective.labels.find((label) => label >= labelCount(classes));
      if (odd !== undefined) fail(`label ${odd} is not below ${labelCount(classes)} labels`);
      break;
    }
    case "logits": {
      const odd = objective.logits.find((logits) => logits.length !== classes);
      if (odd !== undefined) fail(`${odd.length} target logits for a head with ${classes}`);
      break;
    }
    case "vectors": {
      const size = featureSize(task, config);
      const odd = objective.slopes.find((slope) => slope.length !== size);
      if (odd !== undefined) fail(`a slope of ${odd.length} numbers for vectors of ${size}`);
    }
  }
}

/** The program's `targets`, one row for each row of the step. */
export function targetsOf(
  { objective }: Pick<MicroBatch, "objective">,
  { layout }: StoredModel,
): Tensor<Float32Array> {
  const targets =
    objective.kind === "labels"
      ? objective.labels.map((label) => labelTargets(label, layout.classes))
      : perRow(objective);
  return { shape: [targets.length, targets[0]!.length], data: Float32Array.from(targets.flat()) };
}

function perRow(objective: MicroBatch["objective"]): readonly (readonly number[])[] {
  switch (objective.kind) {
    case "labels":
      return objective.labels.map((label) => [label]);
    case "logits":
      return objective.logits;
    case "vectors":
      return objective.slopes;
  }
}
