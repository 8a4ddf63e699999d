import { describe, expect, test } from "vitest";
import { HeadTrainer } from "../../../coordinator/training/head-trainer.ts";
import { meanOf } from "../../../coordinator/training/objective.ts";
import { learningRateAt } from "../../../coordinator/training/schedule.ts";
import { classifierHead } from "../../../worker/models/head.ts";
import { loadArrays, loadWeights, relativeDifference } from "../../support/golden.ts";
import { classifierCells } from "../../support/golden-cell.ts";
import { hasShared, readSharedJson, sharedPath } from "../../support/shared.ts";

interface Case {
  readonly inputs: { readonly labels: number[] };
  readonly forward: { readonly features: number[][] };
  readonly unlearning: {
    readonly learning_rate: number;
    readonly total_steps: number;
    readonly runs: readonly {
      readonly weight_decay: number;
      readonly steps: readonly {
        samples: number[];
        loss: number;
        learning_rate: number;
        grad_norm: number;
      }[];
      readonly final: Readonly<Record<string, { readonly $array: string }>>;
    }[];
  };
}

describe.skipIf(!hasShared)("classifier-only training equals PyTorch's", () => {
  test.each(classifierCells.flatMap((cell) => [0, 1].map((run) => [cell, run] as const)))(
    "%s, run %i: losses, gradient norms and final weights",
    async (cell, runIndex) => {
      const golden = readSharedJson<Case>("golden", "tiny", cell, "case.json");
      const arrays = await loadArrays("golden", "tiny", cell, "arrays.safetensors");
      const run = golden.unlearning.runs[runIndex]!;
      const trainer = new HeadTrainer(
        await loadWeights(sharedPath("golden", "tiny", cell)),
        classifierHead,
        golden.forward.features.map((row) => Float32Array.from(row)),
        { optimiser: { weightDecay: run.weight_decay }, maxGradNorm: 1 },
      );
      for (const [step, recorded] of run.steps.entries()) {
        const rate = learningRateAt(
          step,
          golden.unlearning.total_steps,
          golden.unlearning.learning_rate,
          0.1,
        );
        expect(rate).toBeCloseTo(recorded.learning_rate, 12);
        const batch = meanOf(
          recorded.samples.map((row) => ({
            row,
            objective: { kind: "label", label: golden.inputs.labels[row]! },
          })),
        );
        const { loss, gradNorm } = trainer.step(batch, rate);
        expect(Math.abs(loss / recorded.loss - 1)).toBeLessThan(5e-5);
        expect(Math.abs(gradNorm / recorded.grad_norm - 1)).toBeLessThan(5e-5);
      }
      const final = trainer.weights();
      expect([...final.keys()].sort()).toEqual(Object.keys(run.final).sort());
      for (const [name, { $array }] of Object.entries(run.final)) {
        expect(relativeDifference(final.get(name)!, arrays.get($array)!.data), name).toBeLessThan(2e-5);
      }
    },
  );
});
