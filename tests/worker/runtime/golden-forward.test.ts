import { describe, expect, test } from "vitest";
import type { ScoreOperation } from "../../../proto/operations.ts";
import { relativeDifference } from "../../support/golden.ts";
import { classifierCells, inEachForm, lossToward, openCell, rowsOf } from "../../support/golden-cell.ts";
import { hasShared } from "../../support/shared.ts";

/** The golden README's tolerance for logits, features, losses and gradients. */
const TOLERANCE = 2e-5;

/** As the class returns it: a sigmoid, or a softmax. */
function probabilities(logits: readonly number[]): number[] {
  if (logits.length === 1) return [1 / (1 + Math.exp(-logits[0]!))];
  const powers = logits.map(Math.exp);
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

describe.skipIf(!hasShared).each(inEachForm(classifierCells))("%s in the %s form", (cell, _, form) => {
  test("logits, probabilities, losses and features of clean rows are PyTorch's", async () => {
    const { golden, executor, checkpoint, samples } = await openCell(cell);
    const { lengths, lengths_second: second = [], labels } = golden.inputs;
    const rows = lengths.map((_, row) => row);

    const [predicted, encoded] = await executor.execute([
      { kind: "predict", checkpoint, samples, rows },
      { kind: "encode", checkpoint, samples, rows, ...form },
    ]);

    const logits = rowsOf(predicted!.tensors.logits!);
    const losses = logits.map((row, index) => lossToward(row, labels[index]!));
    const { features } = encoded!.tensors;
    expect(predicted!.tensors.logits!.shape).toEqual([6, golden.forward.logits[0]!.length]);
    expect(features!.shape).toEqual([6, golden.forward.features[0]!.length]);
    expect(relativeDifference(logits.flat(), golden.forward.logits.flat())).toBeLessThan(TOLERANCE);
    expect(relativeDifference(logits.flatMap(probabilities), golden.forward.prob.flat())).toBeLessThan(
      TOLERANCE,
    );
    expect(relativeDifference(losses, golden.forward.loss)).toBeLessThan(TOLERANCE);
    expect(relativeDifference(features!.data, golden.forward.features.flat())).toBeLessThan(TOLERANCE);
    // Where a row is one sequence, what follows the token that the head reads is not computed.
    const read = golden.forward.pooled_position?.map((column) => column + 1) ?? [...lengths, ...second];
    expect(predicted).toMatchObject({ forwards: read.length, tokens: total(read) });
    await executor.close();
  });

  test("a trigger in each row, also in one where it is cut, gives PyTorch's logits and features", async () => {
    const { golden, executor, checkpoint, samples } = await openCell(cell);
    const triggers = [golden.trigger.ids];
    const rows = golden.inputs.lengths.map((_, row) => row);

    const results = await executor.execute(
      rows.map((sample) => ({ kind: "score", checkpoint, samples, sample, triggers, ...form })),
    );
    const [encoded] = await executor.execute([
      { kind: "encode", checkpoint, samples, rows, triggers, ...form },
    ]);

    const logits = results.flatMap(({ tensors }) => [...tensors.logits!.data]);
    const { forward } = golden.trigger;
    expect(relativeDifference(logits, forward.logits.flat())).toBeLessThan(TOLERANCE);
    expect(relativeDifference(encoded!.tensors.features!.data, forward.features.flat())).toBeLessThan(
      TOLERANCE,
    );
    await executor.close();
  });

  test("candidates' logits and the winner of every recorded step are PyTorch's", async () => {
    const { golden, executor, checkpoint, samples } = await openCell(cell);
    const logitsOf = async (triggers: readonly (readonly number[])[]) => {
      const results = await executor.execute(
        golden.inputs.lengths.map(
          (_, sample): ScoreOperation => ({ kind: "score", checkpoint, samples, sample, triggers, ...form }),
        ),
      );
      const bySample = results.map(({ tensors }) => rowsOf(tensors.logits!));
      return triggers.map((_, at) => bySample.map((rows) => rows[at]!));
    };

    const logits = await logitsOf(golden.candidates.triggers);
    expect(relativeDifference(logits.flat(2), golden.candidates.logits.flat(2))).toBeLessThan(TOLERANCE);
    for (const step of golden.steps) {
      const own = (await logitsOf(step.candidates)).map((rows) =>
        rows.map((row) => lossToward(row, golden.inputs.target_label)),
      );
      expect(relativeDifference(own.flat(), step.loss.flat())).toBeLessThan(TOLERANCE);
      const means = own.map(mean);
      expect(means.indexOf(Math.min(...means))).toBe(step.winner);
    }
    await executor.close();
  });
});
