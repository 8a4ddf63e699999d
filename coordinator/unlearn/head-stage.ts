import { setImmediate } from "node:timers/promises";
import { createRng, type Rng, seedRng } from "../search/rng.ts";
import { shuffled } from "../training/batches.ts";
import type { Example } from "../training/example.ts";
import { createHead, type HeadTensors } from "../training/head.ts";
import { HeadTrainer } from "../training/head-trainer.ts";
import { learningRateAt } from "../training/schedule.ts";
import { pooled, scoreHeldBack } from "./held-back.ts";
import type { Group, Material } from "./material.ts";
import type { RepairTarget, UnlearningStep } from "./problem.ts";
import type { AutoPlan } from "./settings.ts";
import { cleanDrawer, injectedRow, joined, type StageOutcome, type StageRun, without } from "./stage.ts";

type HeadTarget = RepairTarget & { readonly head: HeadTensors };
type Weights = ReadonlyMap<string, Float32Array>;

/**
 * Trains the head alone, on features that the unrepaired encoder gave once. Cross-validated: for each group a head that never saw it is scored on it,
 * and the scores are pooled; the head that is kept is trained on all groups.
 */
export async function headStage(
  target: HeadTarget,
  material: Material,
  plan: AutoPlan,
  run: StageRun & { readonly epochs: number; readonly name: string },
): Promise<StageOutcome> {
  const { groups } = material;
  const scores = [];
  for (const [g, group] of groups.entries()) {
    const { weights } = await trainHead(target, material, joined(without(groups, g)), { plan, run });
    const head = createHead(target.head, asTensors(weights));
    scores.push(scoreHeldBack(material, group, (row) => head.forward(material.features[row]!).logits));
  }
  const { weights, steps } = await trainHead(target, material, joined(groups), { plan, run });
  const kept = { step: steps.length, score: pooled(scores) };
  return { points: [kept], kept, weights, steps };
}

const asTensors = (weights: Weights): Map<string, { data: Float32Array }> =>
  new Map([...weights].map(([name, data]) => [name, { data }]));

async function trainHead(
  target: HeadTarget,
  material: Material,
  group: Group,
  {
    plan,
    run,
  }: { readonly plan: AutoPlan; readonly run: StageRun & { readonly epochs: number; readonly name: string } },
): Promise<{ weights: Weights; steps: UnlearningStep[] }> {
  const trainer = new HeadTrainer(target.weights, target.head, material.features, {
    optimiser: { weightDecay: plan.weightDecay },
    maxGradNorm: plan.maxGradNorm,
  });
  const rng = createRng(seedRng(plan.seed));
  const batches = headBatches(material, group, { plan, run, rng });
  const steps: UnlearningStep[] = [];
  for (const [step, examples] of batches.entries()) {
    target.signal?.throwIfAborted();
    const rate = learningRateAt(step, batches.length, plan.headLearningRate, plan.warmup);
    const record = trainer.step(examples, rate);
    steps.push({ step, batch: examples.map(({ row }) => row), ...record });
    target.onStep?.(steps.at(-1)!, batches.length, run.name);
    // The coordinator answers its workers in this process.
    await setImmediate();
  }
  return { weights: trainer.weights(), steps };
}

/** Batches in which every row with a trigger occurs once an epoch, beside as many clean ones. */
function headBatches(
  material: Material,
  group: Group,
  {
    plan,
    run,
    rng,
  }: { readonly plan: AutoPlan; readonly run: StageRun & { readonly epochs: number }; readonly rng: Rng },
): Example[][] {
  const drawClean = cleanDrawer(material, group, rng);
  const { headBatch: size } = plan;
  const example = (row: number): Example => ({
    row,
    weight: 1 / size,
    objective: { kind: "logits", logits: material.rows[row]!.answer },
  });
  const batches: Example[][] = [];
  let state = seedRng(plan.seed + 1);
  for (let epoch = 0; epoch < run.epochs; epoch++) {
    const drawn = shuffled(group.triggered.length, state);
    state = drawn.state;
    for (let start = 0; start < drawn.order.length; start += size) {
      const triggered = drawn.order
        .slice(start, start + size)
        .map((k) => injectedRow(material, group.triggered[k]!, run));
      batches.push([...triggered.map(example), ...triggered.map(() => example(drawClean()))]);
    }
  }
  return batches;
}
