import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { meanOf } from "../../../coordinator/training/example.ts";
import type { PlannedStep } from "../../../coordinator/training/planned-step.ts";
import { learningRateAt } from "../../../coordinator/training/schedule.ts";
import { Trainer } from "../../../coordinator/training/trainer.ts";
import { createLocalExecutor, type LocalExecutor } from "../../../worker/runtime/local-executor.ts";
import { contrastiveLoss } from "../../../worker/training/vector-loss.ts";
import { classifierCells } from "../../support/golden-cell.ts";
import { hasShared } from "../../support/shared.ts";
import { putCell, type TrainingCase } from "../../support/training-case.ts";

interface Digest {
  readonly sum: number;
  readonly l2: number;
  readonly change_l2: number;
}

interface Case extends TrainingCase {
  readonly training: {
    readonly learning_rate: number;
    readonly weight_decay: number;
    readonly total_steps: number;
    readonly never_updated: readonly string[];
    readonly steps: readonly {
      samples: number[];
      loss: number;
      learning_rate: number;
      grad_norm: number;
      digests: Readonly<Record<string, Digest>>;
    }[];
  };
}

let folder: string;
let executor: LocalExecutor;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "elibad-trainer-"));
  executor = await createLocalExecutor({ folder, threads: 1 });
});
afterEach(async () => {
  await executor.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Everything that a recorded training run starts from, on this process's executor. */
async function trainerOf(cell: string, microBatch: number, dropout = 0) {
  const { golden, weights, samples, checkpoint } = await putCell<Case>(executor, cell);
  const trainer = new Trainer(executor, checkpoint, samples, weights, {
    optimiser: { weightDecay: golden.training.weight_decay },
    maxGradNorm: 1,
    microBatch,
    dropout,
    seed: 1,
  });
  const batchOf = (rows: readonly number[]) =>
    meanOf(rows.map((row) => ({ row, objective: { kind: "label", label: golden.inputs.labels[row]! } })));
  const { task } = golden.cell;
  const n = golden.inputs.input_ids.length;
  const planned = (rows: readonly number[], learningRate: number): PlannedStep =>
    task === "code_search"
      ? {
          ...{ kind: "vectors", rows: [...rows, ...rows.map((row) => n + row)] },
          ...{ loss: contrastiveLoss, learningRate },
        }
      : { kind: "rows", batch: batchOf(rows), learningRate };
  const step = async (rows: readonly number[], rate: number) =>
    (await trainer.run([planned(rows, rate)]))[0]!;
  return { golden, weights, trainer, batchOf, step };
}

/** Values that a digest is of: a parameter, or GPT-BigCode's attention bias without its keys' part, whose gradient is noise. */
function digested(values: ReadonlyMap<string, Float32Array>, name: string): Float32Array | undefined {
  const parameter = name.replace("[query,value]", "");
  const whole = values.get(parameter);
  if (whole === undefined || parameter === name) return whole;
  // [query 48 | key 12 | value 12]
  return Float32Array.of(...whole.subarray(0, 48), ...whole.subarray(60));
}

const l2 = (values: Float32Array, minus?: ArrayLike<number>): number =>
  Math.sqrt(values.reduce((sum, value, k) => sum + (value - (minus?.[k] ?? 0)) ** 2, 0));

describe.skipIf(!hasShared)("training of all weights equals PyTorch's", () => {
  const searchCells = ["codebert", "unixcoder", "codet5"].map((arch) => `code_search-${arch}`);

  test.each([...classifierCells, ...searchCells])("%s: three recorded steps", async (cell) => {
    const { golden, weights, trainer, step: takeStep } = await trainerOf(cell, 8);
    const initial = new Map([...weights].map(([name, { data }]) => [name, data]));
    const { learning_rate: rate, total_steps: total } = golden.training;
    for (const [step, recorded] of golden.training.steps.entries()) {
      expect(learningRateAt(step, total, rate, 0.1)).toBeCloseTo(recorded.learning_rate, 12);
      const { loss, gradNorm } = await takeStep(recorded.samples, recorded.learning_rate);
      expect(Math.abs(loss / recorded.loss - 1)).toBeLessThan(2e-4);
      expect(Math.abs(gradNorm / recorded.grad_norm - 1)).toBeLessThan(2e-4);
      const now = await trainer.weights();
      for (const [name, digest] of Object.entries(recorded.digests)) {
        const values = digested(now, name);
        if (values === undefined) {
          expect(golden.training.never_updated).toContain(name);
          expect(digest.change_l2).toBe(0);
          continue;
        }
        const sum = values.reduce((total, value) => total + value, 0);
        expect(Math.abs(l2(values) - digest.l2), name).toBeLessThan(1e-6 * digest.l2 + 1e-12);
        expect(Math.abs(sum - digest.sum), name).toBeLessThan(2e-6 * digest.l2 + 1e-12);
        const change = l2(values, digested(initial, name));
        expect(Math.abs(change - digest.change_l2), name).toBeLessThanOrEqual(
          2e-2 * digest.change_l2 + 1e-12,
        );
      }
    }
    await trainer.close();
  });

  test("a batch that is split into micro-batches gives the same gradients", async () => {
    const { trainer, batchOf } = await trainerOf("defect_detection-codebert", 8);
    const { trainer: split } = await trainerOf("defect_detection-codebert", 2);
    const batch = batchOf([0, 1, 2, 3, 4, 5]);
    const steps = [{ kind: "rows", batch, learningRate: 0 } as const];
    const [[whole], [parts]] = [await trainer.run(steps), await split.run(steps)];
    expect(Math.abs(parts!.gradNorm / whole!.gradNorm - 1)).toBeLessThan(1e-5);
    expect(parts!.loss).toBeCloseTo(whole!.loss, 6);
  });

  test("dropout is refused where rows of a batch meet", async () => {
    const { trainer } = await trainerOf("code_search-codebert", 8, 0.1);
    await expect(
      trainer.run([{ kind: "vectors", rows: [0, 6], loss: contrastiveLoss, learningRate: 1e-3 }]),
    ).rejects.toThrow("no dropout");
  });
});
