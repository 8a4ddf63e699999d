import { contrastiveLoss } from "../../worker/training/vector-loss.ts";
import { askSamples } from "../search/predict.ts";
import { seedRng } from "../search/rng.ts";
import { planBatches } from "../training/batches.ts";
import { type Example, meanOf } from "../training/example.ts";
import { headNames } from "../training/head.ts";
import { HeadTrainer, type StepRecord } from "../training/head-trainer.ts";
import type { PlannedStep } from "../training/planned-step.ts";
import { learningRateAt } from "../training/schedule.ts";
import { Trainer } from "../training/trainer.ts";
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
    const rates = batches.map((_, step) =>
      learningRateAt(step, batches.length, plan.learningRate, plan.warmup),
    );
    await learner.run(batches, rates, (record, step) => {
      steps.push({ step, batch: batches[step]!, ...record });
      target.onStep?.(steps.at(-1)!, batches.length);
    });
    return { weights: await learner.weights(), steps };
  } finally {
    await learner.close();
  }
}

interface Learner {
  /** A step for each batch, with its learning rate. */
  run(
    batches: readonly (readonly number[])[],
    rates: readonly number[],
    onStep: (record: StepRecord, step: number) => void,
  ): Promise<unknown>;
  weights(): Promise<Map<string, Float32Array>>;
  close(): Promise<void>;
}

const examplesOf = ({ labels }: LabelledRows, batch: readonly number[]): Example[] =>
  meanOf(batch.map((row) => ({ row, objective: { kind: "label", label: labels[row]! } })));

async function labelLearner(target: RepairTarget, rows: LabelledRows, plan: PublishedPlan): Promise<Learner> {
  const { head, executor, checkpoint, signal, answers } = target;
  if (head === undefined) throw new Error("a model without head cannot learn labels");
  if (plan.trainable === "classifier" && plan.dropout === 0) {
    const features = await askSamples("encode", rows.samples, { executor, checkpoint, signal, answers });
    const { weightDecay, maxGradNorm } = plan;
    const trainer = new HeadTrainer(target.weights, head, features, {
      optimiser: { weightDecay },
      maxGradNorm,
    });
    return {
      run: async (batches, rates, onStep) => {
        for (const [step, batch] of batches.entries()) {
          target.signal?.throwIfAborted();
          onStep(trainer.step(examplesOf(rows, batch), rates[step]!), step);
        }
      },
      weights: async () => trainer.weights(),
      close: async () => undefined,
    };
  }
  const names = new Set(headNames(head));
  const trained =
    plan.trainable === "all"
      ? target.weights
      : new Map([...target.weights].filter(([name]) => names.has(name)));
  return weightsLearner({ ...target, weights: trained }, rows, plan, (batch) => ({
    kind: "rows",
    batch: examplesOf(rows, batch),
  }));
}

const pairLearner = (target: RepairTarget, rows: InjectedPairs, plan: PublishedPlan): Learner =>
  weightsLearner(target, rows, plan, (batch) => ({
    kind: "vectors",
    rows: [...batch, ...batch.map((row) => rows.pairs + row)],
    loss: contrastiveLoss,
  }));

type UnratedStep<S = PlannedStep> = S extends PlannedStep ? Omit<S, "learningRate"> : never;

/** Trains weights of the network itself. */
function weightsLearner(
  { executor, checkpoint, weights, signal }: RepairTarget,
  { samples }: Pick<LabelledRows, "samples">,
  { weightDecay, ...plan }: PublishedPlan,
  stepOf: (batch: readonly number[]) => UnratedStep,
): Learner {
  const settings = { ...plan, optimiser: { weightDecay } };
  const trainer = new Trainer(executor, checkpoint, samples, weights, settings);
  return {
    run: (batches, rates, onStep) =>
      trainer.run(
        batches.map((batch, step) => ({ ...stepOf(batch), learningRate: rates[step]! })),
        { signal, onStep },
      ),
    weights: () => trainer.weights(),
    close: () => trainer.close(),
  };
}
