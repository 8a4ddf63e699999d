import { stamp } from "../../proto/stamping.ts";
import { predictedLabel } from "../search/loss.ts";
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
  /** The inverted triggers, each with its direction. */
  readonly triggers: readonly {
    readonly ids: readonly number[];
    readonly victimLabel: number;
    readonly targetLabel: number;
  }[];
  readonly maxLen: number;
  readonly endId: number;
}

export interface AutoRepair extends Unlearned {
  /** Held-back scores before, and after each epoch. */
  readonly points: readonly RepairPoint[];
  readonly keptEpoch: number;
  /** Whether the inverted triggers are dead at the kept point, as far as the held-back rows show. */
  readonly triggerDead: boolean;
}

/**
 * Repairs by distillation from the unrepaired model: it says best what each row should give without the trigger, better than a hundred
 * labels do. Clean rows are held at its logits, and victim rows with a trigger are drawn to its logits of the same row without. Part of the
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
  const withTriggers = stamping(context, input);
  const heldTriggered = await withTriggers(held);
  const heldBack: HeldBackRows = {
    ids: held.map(({ ids }) => ids),
    labels: held.map(({ label }) => label),
    teacher: await predictLogits(
      held.map(({ ids }) => ids),
      context,
    ),
    triggered: heldTriggered,
  };
  const base = heldTriggered.filter(
    ({ row, target: wanted }) => predictedLabel(heldBack.teacher[row]!) === wanted,
  ).length;

  const rows = await trainingRows(trained, withTriggers, context);
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

interface TriggeredRow {
  /** Index of the clean row among those that were given. */
  readonly row: number;
  readonly ids: readonly number[];
  /** Label that the trigger is to bring. */
  readonly target: number;
}

type WithTriggers = (rows: readonly ScanRow[]) => Promise<TriggeredRow[]>;

/** Puts every trigger into every row of its victim label, at the row's own index (DESIGN section 5.2). */
function stamping(context: PredictContext, { triggers, ...limits }: AutoInput): WithTriggers {
  const finder = createPositionFinder(context);
  return async (rows) => {
    const stamped: TriggeredRow[] = [];
    for (const { ids: trigger, victimLabel, targetLabel: target } of triggers) {
      const victims = [...rows.keys()].filter((row) => rows[row]!.label === victimLabel);
      const placed = await finder.find(
        victims.map((row) => rows[row]!),
        { rule: "lowest", half: "first_half", triggerLen: trigger.length, target },
      );
      for (const [k, row] of victims.entries()) {
        stamped.push({ row, ids: stamp(rows[row]!.ids, trigger, placed[k]!.insertIndex, limits), target });
      }
    }
    return stamped;
  };
}

/** Clean rows, then those with a trigger; each with the logits that the unrepaired model gives without the trigger. */
async function trainingRows(
  trained: readonly ScanRow[],
  withTriggers: WithTriggers,
  context: PredictContext,
) {
  const logits = await predictLogits(
    trained.map(({ ids }) => ids),
    context,
  );
  const teacher = logits.map((row) => [...row]);
  const triggered = await withTriggers(trained);
  return {
    ids: [...trained.map(({ ids }) => ids), ...triggered.map(({ ids }) => ids)],
    teacher: [...teacher, ...triggered.map(({ row }) => teacher[row]!)],
    triggered: triggered.map((_, k) => trained.length + k),
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
