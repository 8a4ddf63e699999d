import { seedRng } from "../search/rng.ts";
import { planBatches } from "../training/batches.ts";
import { encodeFeatures } from "../training/features.ts";
import { headNames } from "../training/head.ts";
import { HeadTrainer, type StepRecord } from "../training/head-trainer.ts";
import { type Example, meanOf } from "../training/objective.ts";
import { learningRateAt } from "../training/schedule.ts";
import { Trainer } from "../training/trainer.ts";
import { contrastiveLoss } from "../training/vector-loss.ts";
import type { LabelledRows, RepairTarget, Unlearned, UnlearningStep } from "./problem.ts";
import type { PublishedPlan } from "./settings.ts";
import type { InjectedPairs } from "./training-rows.ts";

/**
 * The published unlearning (EliBadCode, section 4.4): fine-tune on clean samples of which some carry the trigger with their correct
 * label. Classifier only: rows are encoded once and the head is trained on the features, which gives the same weights as the published
 * loop without dropout. Code search has no head: all weights are trained, with the cross-entropy of a batch's queries among its codes.
 *
 * @param batches rows per step, in order, to follow instead of drawing them (`--replay`)
 */
export async function unlearnPublished(
  target: RepairTarget,
  rows: LabelledRows | InjectedPairs,
  plan: PublishedPlan,
  batches: readonly (readonly number[])[] = planBatches(
    "pairs" in rows ? rows.pairs : rows.labels.length,
    plan.batchSize,
    plan.epochs,
    seedRng(plan.seed),
  ),
): Promise<Unlearned> {
  const learner = "pairs" in rows ? pairLearner(target, rows, plan) : await labelLearner(target, rows, plan);
  const steps: UnlearningStep[] = [];
  try {
    for (const [step, batch] of batches.entries()) {
      target.signal?.throwIfAborted();
      const rate = learningRateAt(step, batches.length, plan.learningRate, plan.warmup);
      const record = await learner.step(batch, rate);
      steps.push({ step, batch, ...record });
      target.onStep?.(steps.at(-1)!, batches.length);
    }
    return { weights: learner.weights(), steps };
  } finally {
    await learner.close();
  }
}

interface Learner {
  step(batch: readonly number[], learningRate: number): Promise<StepRecord>;
  weights(): Map<string, Float32Array>;
  close(): Promise<void>;
}

const examplesOf = ({ labels }: LabelledRows, batch: readonly number[]): Example[] =>
  meanOf(batch.map((row) => ({ row, objective: { kind: "label", label: labels[row]! } })));

async function labelLearner(target: RepairTarget, rows: LabelledRows, plan: PublishedPlan): Promise<Learner> {
  const { head } = target;
  if (head === undefined) throw new Error("a model without head cannot learn labels");
  if (plan.trainable === "classifier" && plan.dropout === 0) {
    const features = await encodeFeatures(target.executor, target.checkpoint, rows.samples, target.signal);
    const { weightDecay, maxGradNorm } = plan;
    const trainer = new HeadTrainer(target.weights, head, features, {
      optimiser: { weightDecay },
      maxGradNorm,
    });
    return {
      step: async (batch, rate) => trainer.step(examplesOf(rows, batch), rate),
      weights: () => trainer.weights(),
      close: async () => undefined,
    };
  }
  const names = new Set(headNames(head));
  const trained =
    plan.trainable === "all"
      ? target.weights
      : new Map([...target.weights].filter(([name]) => names.has(name)));
  const trainer = trainerOf({ ...target, weights: trained }, rows, plan);
  return {
    step: (batch, rate) => trainer.step(examplesOf(rows, batch), rate, target.signal),
    weights: () => trainer.weights(),
    close: () => trainer.close(),
  };
}

function pairLearner(target: RepairTarget, rows: InjectedPairs, plan: PublishedPlan): Learner {
  const trainer = trainerOf(target, rows, plan);
  return {
    step: (batch, rate) =>
      trainer.stepOnVectors(
        [...batch, ...batch.map((row) => rows.pairs + row)],
        contrastiveLoss,
        rate,
        target.signal,
      ),
    weights: () => trainer.weights(),
    close: () => trainer.close(),
  };
}

const trainerOf = (
  { executor, checkpoint, weights }: RepairTarget,
  { samples }: Pick<LabelledRows, "samples">,
  { weightDecay, ...plan }: PublishedPlan,
): Trainer => new Trainer(executor, checkpoint, samples, weights, { ...plan, optimiser: { weightDecay } });
