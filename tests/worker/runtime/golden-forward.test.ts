import { describe, expect, test } from "vitest";
import type { ScoreOperation, Tensor } from "../../../proto/operations.ts";
import { relativeDifference } from "../../support/golden.ts";
import { openCell } from "../../support/golden-cell.ts";
import { hasShared } from "../../support/shared.ts";

/** The golden README's tolerance for logits, features, losses and gradients. */
const TOLERANCE = 2e-5;

const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
/** −ln σ(z) for label 1, −ln(1 − σ(z)) for label 0. */
const lossOf = (z: number, label: number) =>
  Math.log1p(Math.exp(-Math.abs(z))) + Math.max(label === 1 ? -z : z, 0);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const numbers = (tensor: Tensor | undefined): number[] => Array.from(tensor!.data);

describe.skipIf(!hasShared).each(["defect_detection-codebert", "defect_detection-unixcoder"])(
  "%s",
  (cell) => {
    test("logits, probabilities, losses and features of clean rows are PyTorch's", async () => {
      const { golden, executor, checkpoint, samples } = await openCell(cell);
      const rows = golden.inputs.lengths.map((_, row) => row);

      const [predicted, encoded] = await executor.execute([
        { kind: "predict", checkpoint, samples, rows },
        { kind: "encode", checkpoint, samples, rows },
      ]);

      const logits = numbers(predicted!.tensors.logits);
      const losses = logits.map((z, row) => lossOf(z, golden.inputs.labels[row]!));
      expect(predicted!.tensors.logits!.shape).toEqual([6, 1]);
      expect(encoded!.tensors.features!.shape).toEqual([6, 48]);
      expect(relativeDifference(logits, golden.forward.logits.flat())).toBeLessThan(TOLERANCE);
      expect(relativeDifference(logits.map(sigmoid), golden.forward.prob.flat())).toBeLessThan(TOLERANCE);
      expect(relativeDifference(losses, golden.forward.loss)).toBeLessThan(TOLERANCE);
      expect(
        relativeDifference(numbers(encoded!.tensors.features), golden.forward.features.flat()),
      ).toBeLessThan(TOLERANCE);
      expect(predicted).toMatchObject({ forwards: 6, tokens: golden.inputs.lengths.reduce((a, b) => a + b) });
      await executor.close();
    });

    test("a trigger in each row, also in one where it is cut, gives PyTorch's logits", async () => {
      const { golden, executor, checkpoint, samples } = await openCell(cell);
      const triggers = [golden.trigger.ids];

      const results = await executor.execute(
        golden.inputs.lengths.map((_, sample) => ({ kind: "score", checkpoint, samples, sample, triggers })),
      );

      const logits = results.flatMap(({ tensors }) => numbers(tensors.logits));
      expect(relativeDifference(logits, golden.trigger.forward.logits.flat())).toBeLessThan(TOLERANCE);
      await executor.close();
    });

    test("candidates' logits and the winner of every recorded step are PyTorch's", async () => {
      const { golden, executor, checkpoint, samples } = await openCell(cell);
      const losses = async (triggers: readonly (readonly number[])[]) => {
        const results = await executor.execute(
          golden.inputs.lengths.map(
            (_, sample): ScoreOperation => ({ kind: "score", checkpoint, samples, sample, triggers }),
          ),
        );
        const logits = triggers.map((_, at) => results.map(({ tensors }) => tensors.logits!.data[at]!));
        return { logits, losses: logits.map((row) => row.map((z) => lossOf(z, golden.inputs.target_label))) };
      };

      const { logits } = await losses(golden.candidates.triggers);
      expect(relativeDifference(logits.flat(), golden.candidates.logits.flat(2))).toBeLessThan(TOLERANCE);
      for (const step of golden.steps) {
        const { losses: own } = await losses(step.candidates);
        expect(relativeDifference(own.flat(), step.loss.flat())).toBeLessThan(TOLERANCE);
        const means = own.map(mean);
        expect(means.indexOf(Math.min(...means))).toBe(step.winner);
      }
      await executor.close();
    });
  },
);
