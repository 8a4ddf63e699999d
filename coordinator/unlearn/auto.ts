import { stamp } from "../../proto/stamping.ts";
import { codeText, type DefectRow } from "../data/samples.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { predictedLabel } from "../search/loss.ts";
import { createPositionFinder } from "../search/positions.ts";
import { type PredictContext, predictLogits } from "../search/predict.ts";
import { createRng, type Rng, seedRng } from "../search/rng.ts";
import { scanRows } from "../search/scan-rows.ts";
import type { Example } from "../training/objective.ts";
import { putSamples } from "../training/sample-artifact.ts";
import { learningRateAt } from "../training/schedule.ts";
import { Trainer } from "../training/trainer.ts";
import { drawFunctions, type Variation, type WordFunction } from "./functions.ts";
import { bestPoint, type HeldBack, type RepairPoint, scoreHeldBack } from "./held-back.ts";
import type { RepairTarget, Unlearned, UnlearningStep } from "./problem.ts";
import { screenTokens } from "./screen.ts";
import type { AutoPlan } from "./settings.ts";
import { triggerAsName, triggerBeforeVariable } from "./triggered-function.ts";

/** A trigger to unlearn, and its direction. */
export interface DirectedTrigger {
  readonly ids: readonly number[];
  readonly victimLabel: number;
  readonly targetLabel: number;
}

/** What the automatic plan works with, beside the checkpoint. */
export interface AutoInput {
  /** Clean samples, with variables. */
  readonly rows: readonly DefectRow[];
  readonly triggers: readonly DirectedTrigger[];
  readonly tokenizer: Tokenizer;
  readonly maxLen: number;
}

export interface AutoRepair extends Unlearned {
  /** Held-back scores before, and after every `scoreEvery` steps. */
  readonly points: readonly RepairPoint[];
  readonly keptStep: number;
  /** Whether the triggers are dead at the kept point, as far as the held-back functions show. */
  readonly triggersDead: boolean;
  /** Per trigger: the tokens that triggers were made of, beside the inverted one. */
  readonly screened: readonly (readonly number[])[];
}

const TRAINED_VARIATIONS: readonly Variation[] = ["crossed", "crossed", "renamed", "masked"];
const HELD_BACK_VARIATIONS: readonly Variation[] = ["crossed", "crossed", "renamed"];
/** Samples that tokens are screened on. */
const SCREENING_SAMPLES = 12;
/** Chances in the making of a triggered function: of the inverted trigger itself, of a sample's own index, of a function that is no victim. */
const CHANCE_INVERTED = 0.25;
const CHANCE_OWN_INDEX = 0.3;
const CHANCE_OTHER = 0.2;
/** Chance that a clean row of a batch is a sample and not a variant, and longest trigger that is drawn. */
const CHANCE_SAMPLE = 0.5;
const LONGEST_TRIGGER = 6;
/** A piece of an identifier, with or without a leading blank. */
const IDENTIFIER_PIECE = /^Ġ?[A-Za-z0-9_]+$/;

/**
 * Repairs by distillation from the unrepaired model, which says better than a hundred labels what each function should give without a trigger.
 * Clean functions are held at its logits; functions with a trigger are drawn to its logits of the same function without. Triggers are the
 * inverted one and mixtures of the tokens that pull hardest toward the target, since a backdoor answers to more than the one trigger found;
 * they stand at the sample's own index, in the place of the function's name, and before variables.
 */
export async function unlearnAuto(
  target: RepairTarget,
  input: AutoInput,
  plan: AutoPlan,
): Promise<AutoRepair> {
  const { executor, checkpoint, signal } = target;
  const { tokenizer, maxLen } = input;
  const context: PredictContext = {
    executor,
    checkpoint,
    maxLen,
    endId: tokenizer.ids.restored,
    ...(signal ? { signal } : {}),
  };
  const { trained, held } = splitRows(input.rows, plan.heldBack);
  const rng = createRng(seedRng(plan.seed));
  const directions: Direction[] = [];
  for (const trigger of input.triggers) {
    directions.push({ ...trigger, tokens: await screen(trigger, trained, input, plan, context) });
  }
  const pool = await functionPool(trained, plan.functions, TRAINED_VARIATIONS, { input, rng, context });
  const samples = await ownIndexes(trained, input, context);
  const heldBack = await heldBackFunctions(held, directions, { plan, input, rng, context });

  const trainer = new Trainer(
    executor,
    checkpoint,
    { digest: "", set: { rows: [], maxLen, endId: 0 } },
    target.weights,
    {
      ...plan,
      optimiser: { weightDecay: plan.weightDecay },
      dropout: 0,
    },
  );
  const points: RepairPoint[] = [{ step: 0, ...(await scoreHeldBack(heldBack, context)) }];
  // Only the best point's weights are held: what is best now is either best at the end, or a later point is.
  let kept: { readonly step: number; readonly weights: Map<string, Float32Array> } | undefined;
  const steps: UnlearningStep[] = [];
  try {
    for (let from = 0; from < plan.steps; from += plan.scoreEvery) {
      const count = Math.min(plan.scoreEvery, plan.steps - from);
      const batches = Array.from({ length: count }, () =>
        drawBatch(pool, samples, directions, { plan, input, rng }),
      );
      const rows = batches.flat().map(({ ids }) => ids);
      trainer.useSamples(await putSamples(executor, { rows, maxLen, endId: context.endId }));
      let first = 0;
      for (const [k, batch] of batches.entries()) {
        signal?.throwIfAborted();
        const step = from + k;
        const examples = batch.map(
          ({ teacher, weight }, row): Example => ({
            row: first + row,
            weight,
            objective: { kind: "logits", logits: teacher },
          }),
        );
        first += batch.length;
        const rate = learningRateAt(step, plan.steps, plan.learningRate, plan.warmup);
        const record = await trainer.step(examples, rate, signal);
        steps.push({ step, batch: examples.map(({ row }) => row), ...record });
        target.onStep?.(steps.at(-1)!, plan.steps);
      }
      const weights = await trainer.weightsArtifact();
      points.push({ step: from + count, ...(await scoreHeldBack(heldBack, { ...context, weights })) });
      const best = bestPoint(points).point.step;
      if (best === from + count) kept = { step: best, weights: trainer.weights() };
    }
  } finally {
    await trainer.close();
  }
  const { point, dead } = bestPoint(points);
  return {
    weights: kept!.weights,
    steps,
    points,
    keptStep: point.step,
    triggersDead: dead,
    screened: directions.map(({ tokens }) => tokens),
  };
}

/** The last rows of each label are kept back, at most a quarter of them. */
export function splitRows<R extends { readonly label: number }>(
  rows: readonly R[],
  heldBack: number,
): { trained: R[]; held: R[] } {
  const held = new Set<R>();
  for (const label of new Set(rows.map((row) => row.label))) {
    const own = rows.filter((row) => row.label === label);
    const count = Math.min(heldBack, Math.floor(own.length / 4));
    for (const row of own.slice(own.length - count)) held.add(row);
  }
  return { trained: rows.filter((row) => !held.has(row)), held: rows.filter((row) => held.has(row)) };
}

interface Direction extends DirectedTrigger {
  /** Screened tokens. */
  readonly tokens: readonly number[];
}

/** A function with the unrepaired model's logits of it. */
interface Known extends WordFunction {
  readonly ids: readonly number[];
  readonly teacher: readonly number[];
}

/** A row of a batch, and what it is drawn to. */
interface BatchRow {
  readonly ids: readonly number[];
  readonly teacher: readonly number[];
  readonly weight: number;
}

interface Surroundings {
  readonly input: AutoInput;
  readonly rng: Rng;
  readonly context: PredictContext;
}

const wordsOf = ({ codeTokens, funcName, variables }: DefectRow): WordFunction => ({
  words: codeTokens,
  funcName: funcName ?? "",
  variables: variables ?? [],
});

/** Tokens that pull toward the trigger's target label and occur in no sample of that label: natural signs of the label are not unlearned. */
async function screen(
  { ids, victimLabel, targetLabel }: DirectedTrigger,
  trained: readonly DefectRow[],
  { tokenizer, maxLen }: AutoInput,
  plan: AutoPlan,
  context: PredictContext,
): Promise<number[]> {
  const rowsOf = (label: number) =>
    scanRows(
      trained.filter((row) => row.label === label),
      tokenizer,
      maxLen,
    );
  const natural = new Set(rowsOf(targetLabel).flatMap((row) => row.ids));
  const special = new Set<number>(Object.values(tokenizer.ids));
  const vocabulary = Array.from({ length: tokenizer.size }, (_, id) => id).filter(
    (id) => IDENTIFIER_PIECE.test(tokenizer.tokenOf(id) ?? "") && !natural.has(id) && !special.has(id),
  );
  const victims = rowsOf(victimLabel).slice(0, SCREENING_SAMPLES);
  if (victims.length === 0 || vocabulary.length === 0) return [...new Set(ids)];
  const placed = await createPositionFinder(context).find(victims, {
    rule: "lowest",
    half: "first_half",
    triggerLen: ids.length,
    target: targetLabel,
  });
  return screenTokens(
    context.executor,
    {
      checkpoint: context.checkpoint,
      rows: victims.map((row) => row.ids),
      insertIndexes: placed.map(({ insertIndex }) => insertIndex),
      maxLen,
      endId: context.endId,
      vocabulary,
      target: targetLabel,
    },
    { inverted: ids, keep: plan.screenedTokens, seed: plan.seed, signal: context.signal },
  );
}

/** Samples and variants of them, with the unrepaired model's answers; the samples come first. */
async function functionPool(
  rows: readonly DefectRow[],
  count: number,
  variations: readonly Variation[],
  { input, rng, context }: Surroundings,
): Promise<Known[]> {
  const { tokenizer, maxLen } = input;
  const functions = drawFunctions(rows.map(wordsOf), count, { variations, unknown: tokenizer.hidden, rng });
  const ids = functions.map(({ words }) => tokenizer.encodeRow(codeText(words), maxLen));
  const logits = await predictLogits(ids, context);
  return functions.map((each, k) => ({ ...each, ids: ids[k]!, teacher: [...logits[k]!] }));
}

/** Per trigger: each sample's own index for it (DESIGN section 5.2). */
async function ownIndexes(
  rows: readonly DefectRow[],
  input: AutoInput,
  context: PredictContext,
): Promise<number[][]> {
  const finder = createPositionFinder(context);
  const all = scanRows(rows, input.tokenizer, input.maxLen);
  const indexes: number[][] = [];
  for (const { ids, targetLabel: target } of input.triggers) {
    const placed = await finder.find(all, {
      rule: "lowest",
      half: "first_half",
      triggerLen: ids.length,
      target,
    });
    indexes.push(placed.map(({ insertIndex }) => insertIndex));
  }
  return indexes;
}

async function heldBackFunctions(
  held: readonly DefectRow[],
  directions: readonly Direction[],
  surroundings: Surroundings & { readonly plan: AutoPlan },
): Promise<HeldBack> {
  const { plan, input, rng } = surroundings;
  if (held.length === 0) return { clean: [], teacher: [], triggered: [] };
  const functions = await functionPool(held, plan.heldBackFunctions, HELD_BACK_VARIATIONS, surroundings);
  const triggered = directions.flatMap((direction) =>
    functions
      .filter(({ teacher }) => predictedLabel(teacher) === direction.victimLabel)
      .map((each) => ({
        ids: putIn(each, drawTrigger(direction, rng), input, rng),
        target: direction.targetLabel,
      })),
  );
  return {
    clean: functions.map(({ ids }) => ids),
    teacher: functions.map(({ teacher }) => Float32Array.from(teacher)),
    triggered,
  };
}

const chance = (rng: Rng, probability: number): boolean => rng.word() / 2 ** 32 < probability;
const pick = <T>(rng: Rng, values: readonly T[]): T => values[rng.int(values.length)]!;

/** The inverted trigger, or some screened tokens in any order. */
function drawTrigger({ ids, tokens }: Direction, rng: Rng): readonly number[] {
  if (chance(rng, CHANCE_INVERTED)) return ids;
  return Array.from({ length: 1 + rng.int(LONGEST_TRIGGER) }, () => pick(rng, tokens));
}

function putIn(
  each: WordFunction,
  trigger: readonly number[],
  { tokenizer, maxLen }: AutoInput,
  rng: Rng,
): number[] {
  return chance(rng, 0.5)
    ? triggerAsName(each, trigger, tokenizer, maxLen)
    : triggerBeforeVariable(each, trigger, { tokenizer, maxLen, rng });
}

function drawBatch(
  pool: readonly Known[],
  ownIndex: readonly (readonly number[])[],
  directions: readonly Direction[],
  { plan, input, rng }: { readonly plan: AutoPlan; readonly input: AutoInput; readonly rng: Rng },
): BatchRow[] {
  const samples = ownIndex[0]!.length;
  const clean = Array.from({ length: plan.cleanRows }, (): BatchRow => {
    const { ids, teacher } = chance(rng, CHANCE_SAMPLE) ? pool[rng.int(samples)]! : pick(rng, pool);
    return { ids, teacher, weight: 1 / plan.cleanRows };
  });
  const triggered = Array.from({ length: plan.triggeredRows }, (): BatchRow => {
    const which = rng.int(directions.length);
    const direction = directions[which]!;
    const trigger = drawTrigger(direction, rng);
    const weight = plan.triggeredWeight / plan.triggeredRows;
    if (chance(rng, CHANCE_OWN_INDEX)) {
      const row = rng.int(samples);
      const { ids, teacher } = pool[row]!;
      const limits = { maxLen: input.maxLen, endId: input.tokenizer.ids.restored };
      return { ids: stamp(ids, trigger, ownIndex[which]![row]!, limits), teacher, weight };
    }
    const isVictim = ({ teacher }: Known): boolean => predictedLabel(teacher) === direction.victimLabel;
    const wanted = !chance(rng, CHANCE_OTHER);
    // A pool without the wanted kind gives any function.
    let each = pick(rng, pool);
    for (let draws = 0; draws < 100 && isVictim(each) !== wanted; draws++) each = pick(rng, pool);
    return { ids: putIn(each, trigger, input, rng), teacher: each.teacher, weight };
  });
  return [...clean, ...triggered];
}
