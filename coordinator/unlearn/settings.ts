import { z } from "zod";

/**
 * Settings of `--plan published`: names and defaults of the published unlearning script (`configs/unlearning`). AdamW has ε 1e-8;
 * dropout is off unless asked for.
 */
export const PublishedPlan = z.strictObject({
  /** Which weights are trained. */
  trainable: z.enum(["classifier", "all"]).default("classifier"),
  learningRate: z.number().positive().default(5e-3),
  epochs: z.int().min(1).default(1),
  batchSize: z.int().min(1).default(32),
  weightDecay: z.number().min(0).default(0),
  /** Share of the steps with rising learning rate. */
  warmup: z.number().min(0).max(1).default(0.1),
  maxGradNorm: z.number().positive().default(1),
  /** Dropout probability on hidden states. */
  dropout: z.number().min(0).max(0.9).default(0),
  /** Seed of the batches' order. */
  seed: z.int().nonnegative().default(42),
  /** Rows of one train-step operation where all weights are trained. */
  microBatch: z.int().min(1).default(8),
});
export type PublishedPlan = z.infer<typeof PublishedPlan>;

/**
 * Settings of `--plan auto`: the head, then all weights are trained to answer clean rows as the unrepaired model does, and rows with a trigger as
 * it answers them without. One setting for all models.
 */
export const AutoPlan = z.strictObject({
  /** Parts of the samples for cross-validation: rows made of one say how a training without it does. */
  groups: z.int().min(1).default(4),
  /** Rows to work with: the clean samples and variants of them, and rows with triggers. */
  functions: z.int().min(1).default(1_200),
  triggered: z.int().min(1).default(3_600),
  /** Most tokens that pull toward the target label, which triggers are made of beside the inverted one. */
  screenedTokens: z.int().min(1).default(12),
  /** Passes over the rows with triggers, stage by stage, where the head alone is trained. */
  headEpochs: z.array(z.int().min(1)).readonly().default([1, 20]),
  headLearningRate: z.number().positive().default(5e-3),
  /** Rows with a trigger in each of the head's batches, and as many without. */
  headBatch: z.int().min(1).default(64),
  /** All weights: largest learning rate, half of it where the answers are vectors, and optimiser steps. */
  learningRate: z.number().positive().default(1e-3),
  steps: z.int().min(1).default(200),
  /** AdamW's ε there: gradients below it, which are rounding where a model fits its own answers, move less than a full step. */
  eps: z.number().positive().default(1e-6),
  /** Rows without and with a trigger in each batch. */
  cleanRows: z.int().min(1).default(24),
  triggeredRows: z.int().min(1).default(12),
  /** Weight of the triggered rows' mean loss beside the clean ones'. */
  triggeredWeight: z.number().positive().default(0.5),
  /** Trainings of all weights with a group each held back, where one group holds fewer victims than `fewVictims`. */
  folds: z.int().min(1).default(2),
  fewVictims: z.int().min(0).default(10),
  /** Steps between two looks at held-back rows, and rows of each kind that are looked at. */
  scoreEvery: z.int().min(1).default(50),
  heldBackRows: z.int().min(1).default(80),
  weightDecay: z.number().min(0).default(0),
  warmup: z.number().min(0).max(1).default(0.1),
  maxGradNorm: z.number().positive().default(1),
  seed: z.int().nonnegative().default(42),
  microBatch: z.int().min(1).default(12),
});
export type AutoPlan = z.infer<typeof AutoPlan>;
