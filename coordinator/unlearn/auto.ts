import { takeBack } from "../search/lent-artifacts.ts";
import { createHead } from "../training/head.ts";
import { headStage } from "./head-stage.ts";
import { bestPoint, type HeldBackScore, judge, pooled, scoreHeldBack, type Verdict } from "./held-back.ts";
import { type Material, makeMaterial } from "./material.ts";
import { mixTrigger } from "./mixing.ts";
import type { DirectedTrigger, RepairTarget, Unlearned } from "./problem.ts";
import type { AutoPlan } from "./settings.ts";
import type { StageOutcome, StagePoint, StageRun } from "./stage.ts";
import type { RepairSample, RowForm } from "./subjects.ts";
import { weightsStage } from "./weights-stage.ts";

/** What the automatic plan works with, beside the checkpoint. */
export interface AutoInput extends RowForm {
  /** Clean samples, with variables. */
  readonly samples: readonly RepairSample[];
  readonly triggers: readonly DirectedTrigger[];
}

/** A stage of the plan's ladder that was tried. */
export interface TriedStage {
  readonly stage: string;
  readonly points: readonly StagePoint[];
  /** Optimiser steps at the point that speaks for the stage. */
  readonly keptStep: number;
  /** How much of the way from the unrepaired weights to those of this step was kept. */
  readonly keptPart: number;
  /** What the held-back rows say of it. */
  readonly because: string;
}

export interface AutoRepair extends Unlearned {
  /** The unrepaired model on all held-back rows. */
  readonly before: HeldBackScore;
  /** In the order in which they were tried, the last one included. */
  readonly tried: readonly TriedStage[];
  /** The stage that the weights are of. */
  readonly stage: string;
  readonly score: HeldBackScore;
  /** Why this stage, in words. */
  readonly because: string;
  /** Whether the triggers are dead, as far as the held-back rows show. */
  readonly triggersDead: boolean;
  /** The same stages without any trigger in the rows: what training alone does. */
  readonly control: HeldBackScore;
  /** Per trigger: the tokens that triggers were made of, beside the inverted one. */
  readonly screened: readonly (readonly number[])[];
}

/**
 * Repairs by distillation from the unrepaired model, which says better than a hundred labels what each row should give without a trigger.
 * Clean rows are held at its answers; rows with a trigger are drawn to its answers of the same rows without. The plan is a ladder: the head for an
 * epoch, the head for many, all weights. Each starts from the unrepaired model. It stops at the first stage at which held-back rows leave no doubt that the triggers are dead and the
 * answers kept; else the best one is kept.
 */
export async function unlearnAuto(
  target: RepairTarget,
  input: AutoInput,
  plan: AutoPlan,
): Promise<AutoRepair> {
  const mixed = [];
  for (const trigger of input.triggers)
    mixed.push(await mixTrigger(target, trigger, { ...input, form: input }, plan));
  const material = await makeMaterial(target, { samples: input.samples, mixed, form: input }, plan);
  try {
    const before = scoreBefore(target, material);
    const ladder = stagesOf(target, material, plan, before);
    const outcomes = await climb(ladder, before, { injected: true });
    const best = bestPoint(
      outcomes.map((outcome, k) => ({ score: outcome.kept.score, outcome, stage: ladder[k]! })),
      before,
    );
    const { outcome, stage } = best;
    const verdict = verdictOn(outcome, before);
    const control = await climb(ladder.slice(0, outcomes.indexOf(outcome) + 1), before, { injected: false });
    return {
      weights: outcome.weights,
      steps: outcome.steps,
      before,
      tried: outcomes.map((tried, k) => ({
        stage: ladder[k]!.name,
        points: tried.points,
        keptStep: tried.kept.step,
        keptPart: tried.kept.part ?? 1,
        because: verdictOn(tried, before).because,
      })),
      stage: stage.name,
      score: outcome.kept.score,
      because: reasonOf(verdict, outcomes.length === ladder.length, stage.name),
      triggersDead: verdict.dead,
      control: control.at(-1)!.kept.score,
      screened: mixed.map(({ tokens }) => tokens),
    };
  } finally {
    await takeBack(target.executor, material.samples.digest);
  }
}

/** What the held-back rows say of a stage at its kept point, and that it diverged later where it did. */
function verdictOn({ kept, divergedAfter }: StageOutcome, before: HeldBackScore): Verdict {
  const verdict = judge(kept.score, before);
  if (divergedAfter === undefined) return verdict;
  return {
    ...verdict,
    because: `${verdict.because}, at step ${kept.step}; it diverged after step ${divergedAfter}: a smaller --learning-rate may do better`,
  };
}

/** A rung of the ladder. */
interface Stage {
  readonly name: string;
  run(run: StageRun): Promise<StageOutcome>;
}

export const WEIGHTS_STAGE = "all weights";

function stagesOf(target: RepairTarget, material: Material, plan: AutoPlan, before: HeldBackScore): Stage[] {
  const { head } = target;
  const heads = head === undefined ? [] : plan.headEpochs;
  return [
    ...heads.map((epochs): Stage => {
      const name = `head, ${epochs} ${epochs === 1 ? "epoch" : "epochs"}`;
      return {
        name,
        run: (run) => headStage({ ...target, head: head! }, material, plan, { ...run, epochs, name }),
      };
    }),
    {
      name: WEIGHTS_STAGE,
      run: (run) =>
        weightsStage(target, material, plan, {
          ...run,
          name: WEIGHTS_STAGE,
          // The control is there to compare with: one training is enough.
          folds: run.injected ? foldsOf(material, plan) : 1,
          before,
        }),
    },
  ];
}

/** A second training with other rows held back, where one group's victims are few. */
function foldsOf({ groups, rows }: Material, { fewVictims, folds }: AutoPlan): number {
  const victims = groups[0]!.clean.filter((row) => rows[row]!.isSample).length / 2;
  return victims < fewVictims ? Math.min(folds, groups.length) : 1;
}

/** Runs stage after stage until one is good beyond doubt; a control, which never is, runs them all. */
async function climb(
  ladder: readonly Stage[],
  before: HeldBackScore,
  run: StageRun,
): Promise<StageOutcome[]> {
  const outcomes: StageOutcome[] = [];
  for (const stage of ladder) {
    const outcome = await stage.run(run);
    outcomes.push(outcome);
    const { dead, kept, sure } = judge(outcome.kept.score, before);
    if (run.injected && dead && kept && sure) break;
  }
  return outcomes;
}

function scoreBefore({ head, weights }: RepairTarget, material: Material): HeldBackScore {
  const unrepaired = head && createHead(head, weights);
  return pooled(
    material.groups.map((group) =>
      scoreHeldBack(material, group, (row) => {
        const features = material.features[row]!;
        return unrepaired ? unrepaired.forward(features).logits : features;
      }),
    ),
  );
}

function reasonOf({ dead, kept, sure, because }: Verdict, whole: boolean, stage: string): string {
  if (dead && kept)
    return `${stage}: ${sure ? "the first stage at which" : "the least held-back loss of the stages at which"} triggers are dead and answers kept (${because})`;
  const lacking = [dead ? [] : ["triggers still work"], kept ? [] : ["answers have changed"]]
    .flat()
    .join(", ");
  return `${stage}: the best of ${whole ? "all" : "the tried"} stages, none of which is good enough: ${lacking} (${because})`;
}
