import { OperationFailed } from "../../../proto/operation-failed.ts";
import type { GradientOperation, TensorMap } from "../../../proto/operations.ts";
import { architectureOf } from "../../models/architectures.ts";
import { joinsSnippets } from "../../models/features.ts";
import { type GradientProgramOptions, gradientProgram } from "../../programs/gradient.ts";
import { labelTargets } from "../../programs/loss.ts";
import { checkRow, type InputRow, idTensor, stampedRow, triggerSlots } from "../rows.ts";
import { checkFinite, type Done, type OperationContext } from "./context.ts";
import { secondVectors } from "./features.ts";

/** Labels that a head can answer: two for a sigmoid, else one for each logit. */
export const labelCount = (classes: number): number => Math.max(2, classes);

/**
 * Gradient of each row's own objective by the trigger's embeddings. Every row is a run of its own, so that its bits cannot
 * depend on the rows beside it: measured, a row alone differs from the same row in a batch by 1e-6, and batches are no faster.
 */
export async function gradient(operation: GradientOperation, context: OperationContext): Promise<Done> {
  const { rows, trigger, objective } = operation;
  const { config, layout } = context.model;
  const { hiddenSize } = config;
  checkGradient(operation, context);
  const samples = await context.samples(operation.samples);
  const options: GradientProgramOptions = {
    objective: objective.kind,
    decoderApart: operation.reads === "encoder" && architectureOf(config).twoReaders,
  };
  const purpose = `gradient ${options.objective} ${options.decoderApart ? "encoder" : "all"}`;
  const session = await context.session(purpose, (model) => gradientProgram(model, options), {
    packWeights: false,
  });
  const answer = objective.kind === "label" ? "logits" : "features";
  const width = objective.kind === "label" ? layout.classes : hiddenSize;
  const slopes = new Float32Array(rows.length * trigger.length * hiddenSize);
  const answers = new Float32Array(rows.length * width);
  let [forwards, tokens] = [0, 0];
  for (const [index, row] of rows.entries()) {
    const stamped = stampedRow(samples, row, trigger, config);
    checkRow(stamped, config);
    const slots = triggerSlots(samples, row, trigger.length);
    const second = await secondFeed(stamped, context);
    const feeds = {
      ids: idTensor([stamped]),
      ...(options.decoderApart ? { decoder_ids: idTensor([withPads(stamped, slots, config.padId)]) } : {}),
      ...objectiveFeed(operation, index, layout.classes),
      ...second.feed,
    };
    const result = await session.run(feeds, [answer, "gradient"]);
    answers.set(result[answer]!.data, index * width);
    for (const [k, column] of slots.entries()) {
      if (column < 0) continue; // Cut: this token was not read, so its gradient stays zero.
      const slope = result.gradient!.data.subarray(column * hiddenSize, (column + 1) * hiddenSize);
      slopes.set(slope, (index * trigger.length + k) * hiddenSize);
    }
    forwards += 1 + second.forwards;
    tokens += stamped.ids.length + second.tokens;
  }
  const tensors = {
    gradient: { shape: [rows.length, trigger.length, hiddenSize], data: slopes },
    [answer]: { shape: [rows.length, width], data: answers },
  };
  for (const [name, tensor] of Object.entries(tensors)) checkFinite(name, tensor);
  return { tensors, forwards, tokens };
}

function checkGradient(
  { rows, trigger, objective }: GradientOperation,
  { model: { task, config, layout } }: OperationContext,
): void {
  const fail = (reason: string): never => {
    throw new OperationFailed(`gradient: ${reason}`);
  };
  if (trigger.length === 0) fail("the trigger has no tokens");
  if (objective.kind === "label") {
    if (task === "code_search") fail("a model for code_search has no labels");
    if (objective.label < labelCount(layout.classes)) return;
    fail(`label ${objective.label} is not below ${labelCount(layout.classes)} labels`);
  } else {
    if (task !== "code_search") fail(`a model for ${task} is pulled toward a label, and not along vectors`);
    const { slopes } = objective;
    if (slopes.length !== rows.length) fail(`${rows.length} rows and ${slopes.length} slopes`);
    const odd = slopes.find(({ length }) => length !== config.hiddenSize);
    if (odd) fail(`a slope of ${odd.length} numbers for vectors of ${config.hiddenSize}`);
  }
}

function objectiveFeed({ objective }: GradientOperation, index: number, classes: number): TensorMap {
  if (objective.kind === "vectors") {
    const data = objective.slopes[index]!;
    return { slopes: { shape: [1, data.length], data } };
  }
  return {
    targets: { shape: [1, classes], data: Float32Array.from(labelTargets(objective.label, classes)) },
  };
}

/** The second snippet's vector, where the model reads one. */
async function secondFeed(
  row: InputRow,
  context: OperationContext,
): Promise<{ readonly feed: TensorMap; readonly forwards: number; readonly tokens: number }> {
  const { task, config } = context.model;
  if (!joinsSnippets(task, config)) return { feed: {}, forwards: 0, tokens: 0 };
  const { vectors, ...cost } = await secondVectors([row], context);
  return { feed: { second: { shape: [1, config.hiddenSize], data: vectors[0]! } }, ...cost };
}

/** The row with padding in the trigger's place. */
function withPads(row: InputRow, slots: readonly number[], padId: number): InputRow {
  return { ...row, ids: row.ids.map((id, column) => (slots.includes(column) ? padId : id)) };
}
