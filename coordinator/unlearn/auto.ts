import { stamp } from "../../proto/stamping.ts";
import { predictedLabel } from "../search/loss.ts";
import type { Position } from "../search/position.ts";
import { createPositionFinder, type ScanRow } from "../search/positions.ts";
import { type PredictContext, predictLogits } from "../search/predict.ts";
import { createRng, type Rng, seedRng } from "../search/rng.ts";
import { planBatches, shuffled } from "../training/batches.ts";
import type { Example } from "../training/objective.ts";
import { putSamples } from "../training/sample-artifact.ts";
import { learningRateAt } from "../training/schedule.ts";
import { Trainer } from "../training/trainer.ts";
import { bestPoint, type HeldBackRows, type RepairPoint, scoreHeldBack } from "./held-back.ts";
import type { RepairTarget, Unlearned, UnlearningStep } from "./problem.ts";
import type { AutoPlan } from "./settings.ts";

/** What the automatic plan works with, beside the checkpoint. */
export interface AutoInput {
  /** Clean samples. */
  readonly rows: readonly ScanRow[];
  /** The inverted trigger. */
  readonly trigger: readonly number[];
  readonly victimLabel: number;
  readonly targetLabel: number;
  readonly maxLen: number;
  readonly endId: number;
}

export interface AutoRepair extends Unlearned {
  /** Held-back scores before, and after each epoch. */
  readonly points: readonly RepairPoint[];
  readonly keptEpoch: number;
  /** Whether the inverted trigger is dead at the kept point, as far as the held-back rows show. */
  readonly triggerDead: boolean;
}

/**
 * Repairs by distillation from the unrepaired model: it says best what each row should give without the trigger, better than a hundred
 * labels do. Clean rows are held at its logits, and victim rows with the trigger are drawn to its logits of the same row without. Part of the
 * clean rows is kept back and chooses the epoch.
 */
export async function unlearnAuto(
  target: RepairTarget,
  input: AutoInput,
  plan: AutoPlan,
): Promise<AutoRepair> {
  const context: PredictContext = {
    executor: target.executor,
    checkpoint: target.checkpoint,
    maxLen: input.maxLen,
    endId: input.endId,
    ...(target.signal ? { signal: target.signal } : {}),
  };
  const { trained, held } = splitRows(input.rows, plan.heldBack);
  const victimsOf = (rows: readonly ScanRow[]) => rows.filter(({ label }) => label === input.victimLabel);
  const place = await placing(context, input);
  const heldVictims = victimsOf(held);
  const heldBack: HeldBackRows = {
    ids: held.map(({ ids }) => ids),
    labels: held.map(({ label }) => label),
    teacher: await predictLogits(
      held.map(({ ids }) => ids),
      context,
    ),
    triggered: await withTrigger(heldVictims, input, place),
    targetLabel: input.targetLabel,
  };
  const base = heldBack.teacher.filter(
    (logits, row) => held[row]!.label === input.victimLabel && predictedLabel(logits) === input.targetLabel,
  ).length;

  const rows = await trainingRows(trained, victimsOf(trained), input, place, context);
  const samples = await putSamples(target.executor, {
    rows: rows.ids,
    maxLen: input.maxLen,
    endId: input.endId,
  });
  const trainer = new Trainer(target.executor, target.checkpoint, samples, target.weights, {
    ...plan,
    optimiser: { weightDecay: plan.weightDecay },
    dropout: 0,
  });
  const batches = planBatches(trained.length, plan.cleanRows, plan.epochs, seedRng(plan.seed));
  const perEpoch = batches.length / plan.epochs;
  const triggered = cycleOf(rows.triggered, createRng(seedRng(plan.seed + 1)));
  const points: RepairPoint[] = [{ epoch: 0, ...(await scoreHeldBack(heldBack, context)) }];
  const weightsOf: Map<string, Float32Array>[] = [];
  const steps: UnlearningStep[] = [];
  try {
    for (const [step, batch] of batches.entries()) {
      target.signal?.throwIfAborted();
      const examples = examplesOf(batch, triggered(plan.triggeredRows), rows.teacher, plan);
      const rate = learningRateAt(step, batches.length, plan.learningRate, plan.warmup);
      const record = await trainer.step(examples, rate, target.signal);
      steps.push({ step, batch: examples.map(({ row }) => row), ...record });
      target.onStep?.(steps.at(-1)!, batches.length);
      if ((step + 1) % perEpoch === 0) {
        const weights = await trainer.weightsArtifact();
        points.push({ epoch: points.length, ...(await scoreHeldBack(heldBack, { ...context, weights })) });
        weightsOf.push(trainer.weights());
      }
    }
  } finally {
    await trainer.close();
  }
  const { point, dead } = bestPoint(points, base);
  return { weights: weightsOf[point.epoch - 1]!, steps, points, keptEpoch: point.epoch, triggerDead: dead };
}

/** The last rows of each label are kept back, at most a quarter of them. */
export function splitRows<R extends { readonly label: number }>(
  rows: readonly R[],
  heldBack: number,
): { trained: R[]; held: R[] } {
  const labels = new Set(rows.map(({ label }) => label));
  const held = new Set<R>();
  for (const label of labels) {
    const own = rows.filter((row) => row.label === label);
    const count = Math.min(heldBack, Math.floor(own.length / 4));
    for (const row of own.slice(own.length - count)) held.add(row);
  }
  return { trained: rows.filter((row) => !held.has(row)), held: rows.filter((row) => held.has(row)) };
}

/** Finds each row's own index for the trigger (DESIGN section 5.2). */
async function placing(context: PredictContext, { trigger, targetLabel }: AutoInput) {
  const finder = createPositionFinder(context);
  return (rows: readonly ScanRow[]): Promise<Position[]> =>
    finder.find(rows, {
      rule: "lowest",
      half: "first_half",
      triggerLen: trigger.length,
      target: targetLabel,
    });
}

type Place = (rows: readonly ScanRow[]) => Promise<Position[]>;

async function withTrigger(rows: readonly ScanRow[], input: AutoInput, place: Place): Promise<number[][]> {
  const placed = await place(rows);
  return rows.map(({ ids }, k) => stamp(ids, input.trigger, placed[k]!.insertIndex, input));
}

/** Clean rows, then the victims with the trigger; each with the logits that the unrepaired model gives without the trigger. */
async function trainingRows(
  trained: readonly ScanRow[],
  victims: readonly ScanRow[],
  input: AutoInput,
  place: Place,
  context: PredictContext,
) {
  const logits = await predictLogits(
    trained.map(({ ids }) => ids),
    context,
  );
  const teacher = logits.map((row) => [...row]);
  const indexOf = new Map(trained.map((row, k) => [row, k]));
  const stamped = await withTrigger(victims, input, place);
  return {
    ids: [...trained.map(({ ids }) => ids), ...stamped],
    teacher: [...teacher, ...victims.map((row) => teacher[indexOf.get(row)!]!)],
    triggered: stamped.map((_, k) => trained.length + k),
  };
}

/** Hands out rows in a fresh order each time around. */
function cycleOf(rows: readonly number[], rng: Rng): (count: number) => number[] {
  let queue: number[] = [];
  return (count) => {
    const taken: number[] = [];
    while (taken.length < count && rows.length > 0) {
      if (queue.length === 0) queue = shuffled(rows.length, seedRng(rng.word())).order.map((k) => rows[k]!);
      taken.push(queue.pop()!);
    }
    return taken;
  };
}

function examplesOf(
  clean: readonly number[],
  triggered: readonly number[],
  teacher: readonly (readonly number[])[],
  plan: AutoPlan,
): Example[] {
  const example = (row: number, weight: number): Example => ({
    row,
    weight,
    objective: { kind: "logits", logits: teacher[row]! },
  });
  return [
    ...clean.map((row) => example(row, 1 / clean.length)),
    ...triggered.map((row) => example(row, plan.triggeredWeight / triggered.length)),
  ];
}
