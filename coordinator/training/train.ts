import { z } from "zod";
import type { Digest, Executor, Tensor } from "../../proto/operations.ts";
import { chance, createRng, type Rng, seedRng } from "../search/rng.ts";
import { planBatches } from "./batches.ts";
import type { StepRecord } from "./head-trainer.ts";
import { learningRateAt } from "./schedule.ts";
import { Trainer } from "./trainer.ts";
import {
  mapIds,
  plannedStep,
  putTrainingRows,
  rowCount,
  scoreValid,
  type TrainingRows,
  type ValidScore,
} from "./training-rows.ts";

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

export interface TrainRun {
  readonly executor: Executor;
  readonly checkpoint: Digest;
  /** The checkpoint's trainable weights. */
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly train: TrainingRows;
  /** Rows that choose the epoch to keep: the first of those with the best accuracy, or mean reciprocal rank. Absent: the last epoch. */
  readonly valid?: TrainingRows;
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
  readonly valid?: ValidScore;
}

export interface Trained {
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly epochs: readonly TrainedEpoch[];
  readonly keptEpoch: number;
}

/** Trains all weights on the workers. */
export async function train(run: TrainRun): Promise<Trained> {
  const { executor, checkpoint, settings, ids, signal } = run;
  const rng = createRng(seedRng(settings.seed + 1));
  const setOf = (rows: TrainingRows) => putTrainingRows(executor, rows, { ...run, endId: ids.end });
  const trainer = new Trainer(executor, checkpoint, await setOf(run.train), run.weights, {
    ...settings,
    optimiser: { weightDecay: settings.weightDecay },
  });
  const batches = planBatches(
    rowCount(run.train),
    settings.batchSize,
    settings.epochs,
    seedRng(settings.seed),
  );
  const perEpoch = batches.length / settings.epochs;
  const epochs: TrainedEpoch[] = [];
  let kept: { epoch: number; value: number; weights: Map<string, Float32Array> } | undefined;
  try {
    for (let epoch = 1; epoch <= settings.epochs; epoch++) {
      if (settings.tokenDropout > 0) {
        const drop = (row: readonly number[]) => dropTokens(row, settings.tokenDropout, ids.unk, rng);
        trainer.useSamples(await setOf(mapIds(run.train, drop)));
      }
      const first = (epoch - 1) * perEpoch;
      const planned = batches.slice(first, first + perEpoch).map((batch, k) => {
        const { learningRate, warmup } = settings;
        return plannedStep(run.train, batch, learningRateAt(first + k, batches.length, learningRate, warmup));
      });
      let lossSum = 0;
      await trainer.run(planned, {
        signal,
        onStep: (record, k) => {
          lossSum += record.loss;
          run.onStep?.({ ...record, step: first + k + 1, totalSteps: batches.length });
        },
      });
      const valid =
        run.valid &&
        (await scoreValid(run.valid, {
          ...{ executor, checkpoint, weights: await trainer.weightsArtifact() },
          ...{ maxLen: run.maxLen, endId: ids.end },
          ...(signal ? { signal } : {}),
        }));
      epochs.push({ epoch, trainLoss: lossSum / perEpoch, ...(valid ? { valid } : {}) });
      if (kept === undefined || valid === undefined || valid.value > kept.value) {
        kept = { epoch, value: valid?.value ?? 0, weights: await trainer.weights() };
      }
    }
    return { weights: kept!.weights, epochs, keptEpoch: kept!.epoch };
  } finally {
    await trainer.close();
  }
}

/** A row with some of its inner tokens replaced by the unknown token. */
function dropTokens(row: readonly number[], share: number, unk: number, rng: Rng): number[] {
  return row.map((id, k) => {
    const inner = k > 0 && k < row.length - 1;
    return inner && chance(rng, share) ? unk : id;
  });
}
