import { describe, expect, test } from "vitest";
import { meanOf } from "../../../coordinator/training/example.ts";
import { HeadTrainer } from "../../../coordinator/training/head-trainer.ts";
import { learningRateAt } from "../../../coordinator/training/schedule.ts";
import { loadArrays, loadWeights, relativeDifference } from "../../support/golden.ts";
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

const classifier = {
  kind: "dense",
  denseWeight: "classifier.dense.weight",
  denseBias: "classifier.dense.bias",
  outWeight: "classifier.out_proj.weight",
  outBias: "classifier.out_proj.bias",
} as const;

/** Both recorded runs (weight decay 0 and 0.01) of every cell with a head. */
const cells = ["defect_detection", "clone_detection"].flatMap((task) =>
  ["codebert", "unixcoder", "codet5", "starcoder"].flatMap((arch) =>
    [0, 1].map((run) => [`${task}-${arch}`, run] as const),
  ),
);

describe.skipIf(!hasShared)("classifier-only training equals PyTorch's", () => {
  test.each(cells)("%s, run %i: losses, gradient norms and final weights", async (cell, runIndex) => {
    const golden = readSharedJson<Case>("golden", "tiny", cell, "case.json");
    const arrays = await loadArrays("golden", "tiny", cell, "arrays.safetensors");
    const run = golden.unlearning.runs[runIndex]!;
    const trainer = new HeadTrainer(
      await loadWeights(sharedPath("golden", "tiny", cell)),
      cell.endsWith("-starcoder") ? { kind: "linear", weight: "encoder.score.weight" } : classifier,
      golden.forward.features.map((row) => Float32Array.from(row)),
      { optimiser: { weightDecay: run.weight_decay }, maxGradNorm: 1 },
    );
    for (const [step, recorded] of run.steps.entries()) {
      const rate = learningRateAt(step, golden.unlearning.total_steps, golden.unlearning.learning_rate, 0.1);
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
  });
});

test("a head whose loss is not finite any more takes no step", () => {
  const weights = new Map([["score.weight", { data: new Float32Array([0.5, -0.5]) }]]);
  const trainer = new HeadTrainer(
    weights,
    { kind: "linear", weight: "score.weight" },
    [Float32Array.of(1e30, 2e30)],
    { optimiser: {}, maxGradNorm: 1 },
  );
  const toward = (label: number) => meanOf([{ row: 0, objective: { kind: "label" as const, label } }]);
  trainer.step(toward(1), 1e39);
  const before = trainer.weights();

  expect(() => trainer.step(toward(0), 1)).toThrow("the head's loss is NaN");
  expect(trainer.weights()).toEqual(before);
});
