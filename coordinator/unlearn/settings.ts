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
