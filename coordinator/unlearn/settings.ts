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
 * Settings of `--plan auto`: all weights are trained to answer every clean row as the unrepaired model does, and rows with the trigger as
 * it answers them without.
 */
export const AutoPlan = z.strictObject({
  learningRate: z.number().positive().default(3e-4),
  /** Passes over the clean rows. */
  epochs: z.int().min(1).default(10),
  /** Clean rows and rows with the trigger in each batch. */
  cleanRows: z.int().min(1).default(16),
  triggeredRows: z.int().min(1).default(8),
  /** Weight of the triggered rows' mean loss beside the clean rows'. */
  triggeredWeight: z.number().positive().default(0.1),
  /** Clean rows of each label that are never trained on: they choose the epoch. At most a quarter of a label's rows. */
  heldBack: z.int().min(1).default(10),
  weightDecay: z.number().min(0).default(0),
  warmup: z.number().min(0).max(1).default(0.1),
  maxGradNorm: z.number().positive().default(1),
  seed: z.int().nonnegative().default(42),
  microBatch: z.int().min(1).default(8),
});
export type AutoPlan = z.infer<typeof AutoPlan>;
