import type { Digest } from "../../proto/operations.ts";
import { encodeTensors } from "../../proto/tensors.ts";
import { distanceLoss } from "../../worker/training/vector-loss.ts";
import { withArtifacts } from "../search/lent-artifacts.ts";
import { askSamples } from "../search/predict.ts";
import { createRng, pick, type Rng, seedRng } from "../search/rng.ts";
import { isDivergence } from "../training/diverged.ts";
import type { StepRecord } from "../training/head-trainer.ts";
import type { PlannedStep } from "../training/planned-step.ts";
import { learningRateAt } from "../training/schedule.ts";
import { Trainer } from "../training/trainer.ts";
import { bestPoint, type HeldBackRows, type HeldBackScore, pooled, scoreHeldBack } from "./held-back.ts";
import { PARTS, partOfWay } from "./interpolate.ts";
import type { Group, Material } from "./material.ts";
import type { RepairTarget, UnlearningStep } from "./problem.ts";
import type { AutoPlan } from "./settings.ts";
import {
  cleanDrawer,
  injectedRow,
  joined,
  type StageOutcome,
  type StagePoint,
  type StageRun,
  without,
} from "./stage.ts";

/**
 * Trains all weights. Each of the first `folds` groups is held back by a training of its own; their scores are pooled to
 * choose the point, and the first training's weights at that point are kept, or weights a part of the way to them.
 */
export async function weightsStage(
  target: RepairTarget,
  material: Material,
  plan: AutoPlan,
  run: StageRun & {
    readonly name: string;
    readonly folds: number;
    readonly before: HeldBackScore;
  },
): Promise<StageOutcome> {
  const folds = Array.from({ length: run.folds }, (_, held) =>
    openFold(target, material, plan, { ...run, held }),
  );
  // Vectors of unit length have less room than logits: the same steps turn them further.
  const largest = target.head ? plan.learningRate : plan.learningRate / 2;
  const points: StagePoint[] = [];
  // Until half of the steps are done the learning rate is so large that a look says little of where the weights come to rest.
  const isBest = (point: StagePoint): boolean => {
    const settled = points.filter(({ step }) => step * 2 >= plan.steps);
    return bestPoint(settled.length > 0 ? settled : points, run.before) === point;
  };
  const steps: UnlearningStep[] = [];
  let kept: KeptPoint | undefined;
  let parts: KeptPoint | undefined;
  let divergedAfter: number | undefined;
  try {
    while (steps.length < plan.steps) {
      const ahead = Math.min(plan.scoreEvery, plan.steps - steps.length);
      const rates = Array.from({ length: ahead }, (_, k) =>
        learningRateAt(steps.length + k, plan.steps, largest, plan.warmup),
      );
      const told = (record: Omit<UnlearningStep, "step">): void => {
        steps.push({ step: steps.length, ...record });
        target.onStep?.(steps.at(-1)!, plan.steps, run.name);
      };
      await Promise.all(folds.map((fold, k) => fold.run(rates, k === 0 ? told : () => {})));
      const point = {
        step: steps.length,
        score: pooled(await Promise.all(folds.map((fold) => fold.score()))),
      };
      points.push(point);
      // Only the best point's weights are held: what is best now is either best at the end, or a later point is.
      if (isBest(point)) kept = { point, weights: await Promise.all(folds.map((fold) => fold.weights())) };
      // A control whose gradients are all 0 has not moved and never will: code search, where both forward passes agree to the bit.
      if (!run.injected && steps.every(({ gradNorm }) => gradNorm === 0)) break;
    }
  } catch (error) {
    // The point that is kept is from before, and as good as it was.
    if (kept === undefined || !isDivergence(error)) throw error;
    divergedAfter = steps.length;
  } finally {
    await Promise.all(folds.map((fold) => fold.close()));
  }
  const { step } = kept!.point;
  for (const part of PARTS) {
    const weights = kept!.weights.map((each) => partOfWay(target.weights, each, part));
    const scores = folds.map((fold, k) => fold.scoreWith(weights[k]!));
    points.push({ step, part, score: pooled(await Promise.all(scores)) });
    if (isBest(points.at(-1)!)) parts = { point: points.at(-1)!, weights };
  }
  const { point, weights } = parts ?? kept!;
  return { points, kept: point, weights: weights[0]!, steps, divergedAfter };
}

/** A look whose weights are held, per fold. */
interface KeptPoint {
  readonly point: StagePoint;
  readonly weights: readonly ReadonlyMap<string, Float32Array>[];
}

interface Fold {
  /** A step on a drawn batch for each learning rate. */
  run(
    learningRates: readonly number[],
    onStep: (record: StepRecord & { readonly batch: readonly number[] }) => void,
  ): Promise<void>;
  score(): Promise<HeldBackScore>;
  scoreWith(weights: ReadonlyMap<string, Float32Array>): Promise<HeldBackScore>;
  weights(): Promise<ReadonlyMap<string, Float32Array>>;
  close(): Promise<void>;
}

function openFold(
  target: RepairTarget,
  material: Material,
  plan: AutoPlan,
  { held, ...run }: StageRun & { readonly held: number },
): Fold {
  const { executor, checkpoint, signal } = target;
  const { groups, rows, samples } = material;
  // A single group is all there is: it is trained on, and nothing is held back.
  const trained = joined(groups.length > 1 ? without(groups, held) : groups);
  const heldRows =
    groups.length > 1 ? some(material, groups[held]!, plan.heldBackRows) : { clean: [], triggered: [] };
  const rng = createRng(seedRng(plan.seed + held));
  const trainer = new Trainer(executor, checkpoint, samples, target.weights, {
    ...plan,
    optimiser: { weightDecay: plan.weightDecay, eps: plan.eps },
    dropout: 0,
  });
  const drawClean = cleanDrawer(material, trained, rng);
  const scoreAt = async (weights: Digest): Promise<HeldBackScore> => {
    const asked = [...new Set([...heldRows.clean, ...heldRows.triggered, ...basesOf(material, heldRows)])];
    const context = { executor, checkpoint, weights, signal };
    const answers = await askSamples(target.head ? "predict" : "encode", samples, context, asked);
    const answerOf = new Map(asked.map((row, k) => [row, answers[k]!]));
    return scoreHeldBack(material, heldRows, (row) => answerOf.get(row)!);
  };
  return {
    async run(rates, onStep) {
      const batches = rates.map(() => drawBatch(trained, { plan, run, material, rng, drawClean }));
      const planned = batches.map((batch, step): PlannedStep => {
        const learningRate = rates[step]!;
        const weights = batch.map((_, k) => weightOf(k, plan));
        const answers = batch.map((row) => rows[row]!.answer);
        if (!target.head)
          return { kind: "vectors", rows: batch, loss: distanceLoss(answers, weights), learningRate };
        const examples = batch.map((row, k) => ({
          row,
          weight: weights[k]!,
          objective: { kind: "logits", logits: answers[k]! } as const,
        }));
        return { kind: "rows", batch: examples, learningRate };
      });
      await trainer.run(planned, {
        signal,
        onStep: (record, step) => onStep({ batch: batches[step]!, ...record }),
      });
    },
    score: async () => scoreAt(await trainer.weightsArtifact()),
    async scoreWith(weights) {
      const tensors = [...weights].map(
        ([name, data]) => [name, { ...target.weights.get(name)!, data }] as const,
      );
      const bytes = encodeTensors(Object.fromEntries(tensors));
      return withArtifacts(executor, [bytes], ([artifact]) => scoreAt(artifact!));
    },
    weights: () => trainer.weights(),
    close: () => trainer.close(),
  };
}

/** The first rows of a group, of each kind: its samples, and as many variants and rows with triggers as there is time to ask about. */
const some = ({ rows }: Material, { clean, triggered }: Group, count: number): HeldBackRows => ({
  clean: (["code", "query"] as const).flatMap((kind) =>
    clean.filter((row) => rows[row]!.kind === kind).slice(0, count),
  ),
  triggered: triggered.slice(0, count),
});

/** Rows that triggers went into, which code search compares with. */
const basesOf = ({ rows, triggers }: Material, { triggered }: HeldBackRows): number[] =>
  triggers.some((trigger) => "targetIds" in trigger) ? triggered.map((row) => rows[row]!.trigger!.base) : [];

/** Clean rows, then rows with triggers. */
function drawBatch(
  group: Group,
  {
    plan,
    run,
    material,
    rng,
    drawClean,
  }: {
    readonly plan: AutoPlan;
    readonly run: StageRun;
    readonly material: Material;
    readonly rng: Rng;
    readonly drawClean: () => number;
  },
): number[] {
  const clean = Array.from({ length: plan.cleanRows }, drawClean);
  if (group.triggered.length === 0) return clean;
  const triggered = Array.from({ length: plan.triggeredRows }, () =>
    injectedRow(material, pick(rng, group.triggered), run),
  );
  return [...clean, ...triggered];
}

const weightOf = (k: number, { cleanRows, triggeredRows, triggeredWeight }: AutoPlan): number =>
  k < cleanRows ? 1 / cleanRows : triggeredWeight / triggeredRows;
