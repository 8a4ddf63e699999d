import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { GradientOperation } from "../../../proto/operations.ts";
import { gradientProgram } from "../../programs/gradient.ts";
import { labelTargets } from "../../programs/loss.ts";
import { checkRow, idTensor, stampedRow, triggerSlots } from "../rows.ts";
import { checkFinite, type Done, type OperationContext } from "./context.ts";

/** Labels that a head can answer: two for a sigmoid, else one for each logit. */
export const labelCount = (classes: number): number => Math.max(2, classes);

/**
 * Gradient of each row's own loss by the trigger's embeddings. Every row is a run of its own, so that its bits cannot
 * depend on the rows beside it: measured, a row alone differs from the same row in a batch by 1e-6, and batches are no faster.
 */
export async function gradient(operation: GradientOperation, context: OperationContext): Promise<Done> {
  const { rows, trigger, objective } = operation;
  const { config, layout } = context.model;
  const { hiddenSize } = config;
  if (trigger.length === 0) throw new OperationFailed("gradient: the trigger has no tokens");
  if (objective.kind !== "label") throw new OperationFailed("gradient: a classifier has no vectors");
  const { label } = objective;
  if (label >= labelCount(layout.classes)) {
    throw new OperationFailed(`gradient: label ${label} is not below ${labelCount(layout.classes)} labels`);
  }
  const samples = await context.samples(operation.samples);
  const session = await context.session("gradient", gradientProgram, { packWeights: false });
  const slopes = new Float32Array(rows.length * trigger.length * hiddenSize);
  const logits = new Float32Array(rows.length * layout.classes);
  let tokens = 0;
  for (const [index, row] of rows.entries()) {
    const stamped = stampedRow(samples, row, trigger);
    checkRow(stamped, config);
    const targets = {
      shape: [1, layout.classes],
      data: Float32Array.from(labelTargets(label, layout.classes)),
    };
    const result = await session.run({ ids: idTensor([stamped]), targets }, ["logits", "gradient"]);
    logits.set(result.logits!.data, index * layout.classes);
    for (const [k, column] of triggerSlots(samples, row, trigger.length).entries()) {
      if (column < 0) continue; // Cut: this token was not read, so its gradient stays zero.
      const slope = result.gradient!.data.subarray(column * hiddenSize, (column + 1) * hiddenSize);
      slopes.set(slope, (index * trigger.length + k) * hiddenSize);
    }
    tokens += stamped.ids.length;
  }
  const tensors = {
    gradient: { shape: [rows.length, trigger.length, hiddenSize], data: slopes },
    logits: { shape: [rows.length, layout.classes], data: logits },
  };
  checkFinite("gradient", tensors.gradient);
  checkFinite("logits", tensors.logits);
  return { tensors, forwards: rows.length, tokens };
}
