import type { Task } from "../../proto/operations.ts";
import { parseAttack } from "../data/trigger-insertion.ts";
import { AutoPlan, PublishedPlan } from "../unlearn/settings.ts";
import { attackOptions } from "./common-options.ts";
import { InputError } from "./errors.ts";
import {
  defaultTextOf,
  grouped,
  oneOf,
  option,
  type Parsed,
  positiveNumber,
  realNumber,
  wholeNumber,
  withoutAbsent,
} from "./options.ts";

/** `auto 0.001, published 0.005`: the plans' own defaults, for options that both have. */
function plansDefault(key: keyof typeof PublishedPlan.shape & keyof typeof AutoPlan.shape): string {
  const [auto, published] = [AutoPlan.parse({})[key], PublishedPlan.parse({})[key]];
  return auto === published ? String(auto) : `auto ${auto}, published ${published}`;
}

const publishedDefault = (key: keyof typeof PublishedPlan.shape): string | undefined =>
  defaultTextOf(PublishedPlan.shape[key]);

/** How a repair fine-tunes; the same options in `unlearn` and `clean`. */
export const repairOptions = grouped("Repair", {
  plan: option(
    "--plan <plan>",
    "published: the paper's fine-tuning; auto: the head, then all weights, held at the model's own answers, until samples that are kept back say that it is enough",
    oneOf("auto", "published").default("auto"),
  ),
  trainable: option(
    "--trainable <weights>",
    "which weights are trained; published plan only",
    oneOf("classifier", "all").optional(),
    "classifier; code_search all",
  ),
  injectionRate: option(
    "--injection-rate <share>",
    "share of the victim rows that get the trigger; published plan only",
    realNumber(0, 1).default(0.2),
  ),
  inject: option(
    "--inject <how>",
    "put the trigger in as text at --attack-position, or as ids at the row's own index; published plan only",
    oneOf("text", "ids").default("text"),
  ),
  attackPosition: attackOptions.attackPosition,
  attackPattern: attackOptions.attackPattern,
  learningRate: option(
    "--learning-rate <x>",
    "largest learning rate of the schedule",
    positiveNumber.optional(),
    plansDefault("learningRate"),
  ),
  unlearningEpochs: option(
    "--unlearning-epochs <n>",
    "passes over the samples; published plan only",
    wholeNumber(1, 10_000).optional(),
    publishedDefault("epochs"),
  ),
  unlearningSteps: option(
    "--unlearning-steps <n>",
    "optimiser steps where all weights are trained; automatic plan only",
    wholeNumber(1, 100_000).optional(),
    defaultTextOf(AutoPlan.shape.steps),
  ),
  batchSize: option(
    "--batch-size <rows>",
    "rows of one optimiser step; published plan only",
    wholeNumber(1, 4_096).optional(),
    publishedDefault("batchSize"),
  ),
  weightDecay: option(
    "--weight-decay <x>",
    "decoupled weight decay of AdamW",
    realNumber(0).optional(),
    plansDefault("weightDecay"),
  ),
  warmup: option(
    "--warmup <share>",
    "share of the steps with rising rate",
    realNumber(0, 1).optional(),
    plansDefault("warmup"),
  ),
  maxGradNorm: option(
    "--max-grad-norm <x>",
    "gradients above this norm are scaled down",
    positiveNumber.optional(),
    plansDefault("maxGradNorm"),
  ),
  dropout: option(
    "--dropout <share>",
    "dropout on hidden states; published plan only",
    realNumber(0, 0.9).optional(),
    publishedDefault("dropout"),
  ),
  unlearningSeed: option(
    "--unlearning-seed <n>",
    "seed of the draws of rows and batches",
    wholeNumber(0, 2 ** 32 - 1).default(42),
  ),
  format: option(
    "--format <container>",
    "container of the repaired checkpoint: the source's (an adapter with another head stays one), the source's with an adapter merged into its base, or another one",
    oneOf("same", "merged", "torch-zip", "safetensors").default("same"),
  ),
});

export type RepairOptions = Parsed<typeof repairOptions>;

/** Checks the options that have to fit each other. @throws PoisonError where a trigger cannot be put in as they say */
export function checkRepairOptions(given: RepairOptions & { readonly task: Task }): void {
  const { task, plan, inject, trainable, dropout, attackPosition, attackPattern } = given;
  const { unlearningEpochs, unlearningSteps, batchSize } = given;
  const foreign =
    plan === "auto"
      ? {
          "--trainable": trainable,
          "--unlearning-epochs": unlearningEpochs,
          "--batch-size": batchSize,
          "--dropout": dropout,
        }
      : { "--unlearning-steps": unlearningSteps };
  for (const [option, value] of Object.entries(foreign)) {
    if (value !== undefined) throw new InputError(`${option} ${value}: has no meaning for --plan ${plan}`);
  }
  if (task === "code_search" && plan === "published") {
    const refuse = (option: string): never => {
      throw new InputError(`${option}: has no meaning for --task code_search`);
    };
    if (trainable === "classifier") refuse("--trainable classifier");
    if (inject === "ids") refuse("--inject ids");
    if (dropout !== undefined && dropout > 0) refuse(`--dropout ${dropout}`);
  }
  if (plan === "published" && inject === "text") {
    parseAttack({ trigger: "any", position: attackPosition, pattern: attackPattern });
  }
}

/** Code search trains all weights: its models have no head. */
export function publishedPlanOf(given: RepairOptions, { task }: { readonly task: Task }): PublishedPlan {
  return PublishedPlan.parse(
    withoutAbsent({
      trainable: task === "code_search" ? "all" : given.trainable,
      learningRate: given.learningRate,
      epochs: given.unlearningEpochs,
      batchSize: given.batchSize,
      weightDecay: given.weightDecay,
      warmup: given.warmup,
      maxGradNorm: given.maxGradNorm,
      dropout: given.dropout,
      seed: given.unlearningSeed,
    }),
  );
}

export function autoPlanOf(given: RepairOptions): AutoPlan {
  return AutoPlan.parse(
    withoutAbsent({
      learningRate: given.learningRate,
      steps: given.unlearningSteps,
      weightDecay: given.weightDecay,
      warmup: given.warmup,
      maxGradNorm: given.maxGradNorm,
      seed: given.unlearningSeed,
    }),
  );
}
