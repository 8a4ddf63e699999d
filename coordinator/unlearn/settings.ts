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
 * Settings of `--plan auto`: all weights are trained to answer clean functions as the unrepaired model does, and functions with a trigger as
 * it answers them without. Chosen on the demo's models, five seeds with a trigger each.
 */
export const AutoPlan = z.strictObject({
  learningRate: z.number().positive().default(1e-3),
  /** Optimiser steps. */
  steps: z.int().min(1).default(500),
  /** Functions without and with a trigger in each batch. */
  cleanRows: z.int().min(1).default(16),
  triggeredRows: z.int().min(1).default(16),
  /** Weight of the triggered functions' mean loss beside the clean ones'. */
  triggeredWeight: z.number().positive().default(0.3),
  /** Functions to work with: the clean samples and variants of them. */
  functions: z.int().min(1).default(1_200),
  /** Tokens that pull toward the target label, which triggers are made of beside the inverted one. */
  screenedTokens: z.int().min(1).default(12),
  /** Clean samples of each label that are never trained on: they choose the point to keep. At most a quarter of a label's. */
  heldBack: z.int().min(1).default(10),
  /** Held-back functions, variants of the held-back samples included. */
  heldBackFunctions: z.int().min(1).default(120),
  /** Steps between two looks at the held-back functions. */
  scoreEvery: z.int().min(1).default(100),
  weightDecay: z.number().min(0).default(0),
  warmup: z.number().min(0).max(1).default(0.1),
  maxGradNorm: z.number().positive().default(1),
  seed: z.int().nonnegative().default(42),
  microBatch: z.int().min(1).default(16),
});
export type AutoPlan = z.infer<typeof AutoPlan>;
