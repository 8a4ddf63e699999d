import type { MicroBatch, SegmentStep, Tensor, TensorMap } from "../../proto/operations.ts";
import type { AdamW } from "./adamw.ts";
import { clipFactor, GradientSum } from "./gradients.ts";
import { microBatchLoss } from "./objective.ts";
import { lossOfVectors } from "./vector-loss.ts";

/** What a step asks of the network at its current weights. Answers come in the order of the micro-batches. */
export interface Network {
  /** Vectors of each micro-batch's rows. */
  encode(batches: readonly (readonly number[])[]): AsyncIterable<readonly Float32Array[]>;
  /** What train-steps give: `logits` or `features`, and gradients. */
  gradients(microBatches: readonly MicroBatch[]): AsyncIterable<TensorMap>;
}

/** What is trained; `takeStep` changes weights and moments in place. */
export interface Training {
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly optimiser: AdamW;
  readonly maxGradNorm: number;
}

/** `loss` before the update, `gradNorm` before clipping. */
export interface TakenStep {
  readonly loss: number;
  readonly gradNorm: number;
}

/**
 * One optimiser step. Whoever computes the gradients, the arithmetic is this: sums in float64 in the order of the micro-batches, scaled
 * and rounded once, so that a run has the same bits in whichever form.
 */
export async function takeStep(step: SegmentStep, network: Network, training: Training): Promise<TakenStep> {
  const { loss: known, microBatches } = await withObjectives(step, network);
  const sum = new GradientSum(training.shapes);
  let loss = known;
  let index = 0;
  for await (const tensors of network.gradients(microBatches)) {
    sum.add(tensors);
    loss += microBatchLoss(tensors.logits as Tensor<Float32Array> | undefined, microBatches[index++]!);
  }
  const gradNorm = sum.norm();
  const factor = clipFactor(gradNorm, training.maxGradNorm);
  training.optimiser.step(training.weights, sum.rounded(factor), step.learningRate);
  return { loss, gradNorm };
}

/**
 * A loss in which rows meet becomes slopes of each row's vector. All rows are encoded with the current weights first; that is exact, and
 * costs a second forward pass.
 */
async function withObjectives(
  step: SegmentStep,
  network: Network,
): Promise<{ readonly loss: number; readonly microBatches: readonly MicroBatch[] }> {
  if (step.kind === "rows") return { loss: 0, microBatches: step.microBatches };
  const vectors: Float32Array[] = [];
  let index = 0;
  for await (const own of network.encode(step.microBatches.map(({ rows }) => rows))) {
    for (const [k, place] of step.microBatches[index++]!.places.entries()) vectors[place] = own[k]!;
  }
  const { loss, slopes } = lossOfVectors(step.loss, vectors);
  const microBatches = step.microBatches.map(
    ({ rows, places }): MicroBatch => ({
      rows,
      rowWeights: rows.map(() => 1),
      objective: { kind: "vectors", slopes: places.map((place) => [...slopes[place]!]) },
      dropoutSeed: 0,
    }),
  );
  return { loss, microBatches };
}
