import { z } from "zod";
import type { Digest, Executor, Tensor } from "../../proto/operations.ts";
import { predictedLabel } from "../search/loss.ts";
import { predictLogits } from "../search/predict.ts";
import { createRng, type Rng, seedRng } from "../search/rng.ts";
import { planBatches } from "./batches.ts";
import type { StepRecord } from "./head-trainer.ts";
import { meanOf } from "./objective.ts";
import { putSamples } from "./sample-artifact.ts";
import { learningRateAt } from "./schedule.ts";
import { Trainer } from "./trainer.ts";

/** Settings of `elibad train`; the optimiser and its schedule are the reference's. */
export const TrainSettings = z.strictObject({
  epochs: z.int().min(1).default(5),
  batchSize: z.int().min(1).default(16),
  learningRate: z.number().positive().default(1e-3),
  weightDecay: z.number().min(0).default(0.01),
  /** Share of the steps with rising learning rate. */
  warmup: z.number().min(0).max(1).default(0.1),
  maxGradNorm: z.number().positive().default(1),
  /** Dropout probability on hidden states. */
  dropout: z.number().min(0).max(0.9).default(0),
  /** Share of the tokens (end tokens excepted) that are replaced by the unknown token, drawn anew each epoch. */
  tokenDropout: z.number().min(0).max(0.9).default(0),
  microBatch: z.int().min(1).default(8),
  seed: z.int().nonnegative().default(123_456),
});
export type TrainSettings = z.infer<typeof TrainSettings>;

/** Rows with their labels: token ids with end tokens, without padding. */
export interface LabelledIds {
  readonly rows: readonly (readonly number[])[];
  readonly labels: readonly number[];
}

export interface TrainRun {
  readonly executor: Executor;
  readonly checkpoint: Digest;
  /** The checkpoint's trainable weights. */
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly train: LabelledIds;
  /** Rows that choose the epoch to keep: the first of those with the best accuracy. Absent: the last epoch. */
  readonly valid?: LabelledIds;
  readonly maxLen: number;
  readonly ids: { readonly end: number; readonly unk: number };
  readonly settings: TrainSettings;
  readonly signal?: AbortSignal;
  readonly onStep?: (step: StepRecord & { readonly step: number; readonly totalSteps: number }) => void;
}

export interface TrainedEpoch {
  readonly epoch: number;
  /** Mean of the batches' losses, in nats. */
  readonly trainLoss: number;
  /** Rows of `valid` that are answered right, of how many. */
  readonly valid?: { readonly right: number; readonly rows: number };
}

export interface Trained {
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly epochs: readonly TrainedEpoch[];
  readonly keptEpoch: number;
}

/** Trains all weights on labelled rows, data-parallel over the workers. */
export async function train(run: TrainRun): Promise<Trained> {
  const { executor, checkpoint, settings, maxLen, ids, signal } = run;
  const rng = createRng(seedRng(settings.seed + 1));
  const setOf = (rows: readonly (readonly number[])[]) =>
    putSamples(executor, { rows, maxLen, endId: ids.end });
  const trainer = new Trainer(executor, checkpoint, await setOf(run.train.rows), run.weights, {
    ...settings,
    optimiser: { weightDecay: settings.weightDecay },
  });
  const batches = planBatches(
    run.train.rows.length,
    settings.batchSize,
    settings.epochs,
    seedRng(settings.seed),
  );
  const perEpoch = batches.length / settings.epochs;
  const epochs: TrainedEpoch[] = [];
  let kept: { epoch: number; right: number; weights: Map<string, Float32Array> } | undefined;
  try {
    for (let epoch = 1; epoch <= settings.epochs; epoch++) {
      if (settings.tokenDropout > 0) {
        trainer.useSamples(
          await setOf(run.train.rows.map((row) => dropTokens(row, settings.tokenDropout, ids.unk, rng))),
        );
      }
      let lossSum = 0;
      for (let step = (epoch - 1) * perEpoch; step < epoch * perEpoch; step++) {
        signal?.throwIfAborted();
        const rate = learningRateAt(step, batches.length, settings.learningRate, settings.warmup);
        const batch = batches[step]!.map((row) => ({
          row,
          objective: { kind: "label", label: run.train.labels[row]! } as const,
        }));
        const record = await trainer.step(meanOf(batch), rate, signal);
        lossSum += record.loss;
        run.onStep?.({ ...record, step: step + 1, totalSteps: batches.length });
      }
      const right = run.valid && (await rightAnswers(run, run.valid, await trainer.weightsArtifact()));
      epochs.push({
        epoch,
        trainLoss: lossSum / perEpoch,
        ...(right === undefined ? {} : { valid: { right, rows: run.valid!.rows.length } }),
      });
      if (kept === undefined || right === undefined || right > kept.right) {
        kept = { epoch, right: right ?? 0, weights: trainer.weights() };
      }
    }
    return { weights: kept!.weights, epochs, keptEpoch: kept!.epoch };
  } finally {
    await trainer.close();
  }
}

/** Rows of a set whose predicted label is their own, with the weights as they are now. */
async function rightAnswers(run: TrainRun, { rows, labels }: LabelledIds, weights: Digest): Promise<number> {
  const logits = await predictLogits(rows, {
    executor: run.executor,
    checkpoint: run.checkpoint,
    weights,
    maxLen: run.maxLen,
    endId: run.ids.end,
    ...(run.signal ? { signal: run.signal } : {}),
  });
  return logits.filter((row, k) => predictedLabel(row) === labels[k]).length;
}

/** A row with some of its inner tokens replaced by the unknown token. */
function dropTokens(row: readonly number[], share: number, unk: number, rng: Rng): number[] {
  return row.map((id, k) => {
    const inner = k > 0 && k < row.length - 1;
    return inner && rng.word() / 2 ** 32 < share ? unk : id;
  });
}
