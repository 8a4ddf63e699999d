import { seedRng } from "../search/rng.ts";
import { planBatches } from "../training/batches.ts";
import { encodeFeatures } from "../training/features.ts";
import { HeadTrainer, type StepRecord } from "../training/head-trainer.ts";
import { type Example, meanOf } from "../training/objective.ts";
import { learningRateAt } from "../training/schedule.ts";
import { Trainer } from "../training/trainer.ts";
import type { LabelledRows, RepairTarget, Unlearned, UnlearningStep } from "./problem.ts";
import type { PublishedPlan } from "./settings.ts";

/**
 * The published unlearning (EliBadCode, section 4.4): fine-tune on clean samples of which some carry the trigger with their correct
 * label. Classifier only: rows are encoded once and the head is trained on the features, which gives the same weights as the published
 * loop without dropout.
 *
 * @param batches rows per step, in order, to follow instead of drawing them (`--replay`)
 */
export async function unlearnPublished(
  target: RepairTarget,
  rows: LabelledRows,
  plan: PublishedPlan,
  batches: readonly (readonly number[])[] = planBatches(
    rows.labels.length,
    plan.batchSize,
    plan.epochs,
    seedRng(plan.seed),
  ),
): Promise<Unlearned> {
  const learner = await learnerFor(target, rows, plan);
  const steps: UnlearningStep[] = [];
  try {
    for (const [step, batch] of batches.entries()) {
      target.signal?.throwIfAborted();
      const rate = learningRateAt(step, batches.length, plan.learningRate, plan.warmup);
      const record = await learner.step(examplesOf(rows, batch), rate);
      steps.push({ step, batch, ...record });
      target.onStep?.(steps.at(-1)!, batches.length);
    }
    return { weights: learner.weights(), steps };
  } finally {
    await learner.close();
  }
}

const examplesOf = ({ labels }: LabelledRows, batch: readonly number[]): Example[] =>
  meanOf(batch.map((row) => ({ row, objective: { kind: "label", label: labels[row]! } })));

interface Learner {
  step(batch: readonly Example[], learningRate: number): Promise<StepRecord>;
  weights(): Map<string, Float32Array>;
  close(): Promise<void>;
}

async function learnerFor(target: RepairTarget, rows: LabelledRows, plan: PublishedPlan): Promise<Learner> {
  const optimiser = { weightDecay: plan.weightDecay };
  const { maxGradNorm, microBatch, dropout, seed } = plan;
  const { head: names } = target;
  if (plan.trainable === "classifier" && names === undefined) {
    throw new Error("classifier-only unlearning of a model that has no head");
  }
  if (plan.trainable === "classifier" && dropout === 0) {
    const features = await encodeFeatures(target.executor, target.checkpoint, rows.samples, target.signal);
    const head = new HeadTrainer(target.weights, names!, features, { optimiser, maxGradNorm });
    return {
      step: async (batch, rate) => head.step(batch, rate),
      weights: () => head.weights(),
      close: async () => undefined,
    };
  }
  const headNames = new Set<string>(Object.values(names ?? {}));
  const trained =
    plan.trainable === "all"
      ? target.weights
      : new Map([...target.weights].filter(([name]) => headNames.has(name)));
  const settings = { optimiser, maxGradNorm, microBatch, dropout, seed };
  const trainer = new Trainer(target.executor, target.checkpoint, rows.samples, trained, settings);
  return {
    step: (batch, rate) => trainer.step(batch, rate, target.signal),
    weights: () => trainer.weights(),
    close: () => trainer.close(),
  };
}
