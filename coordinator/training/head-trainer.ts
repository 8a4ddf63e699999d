import type { Tensor } from "../../proto/operations.ts";
import { AdamW, type AdamWSettings } from "./adamw.ts";
import { clipFactor } from "./gradients.ts";
import { type HeadWeights, headBackward, headForward, zeroGradients } from "./head.ts";
import { type Example, objectiveGradient, objectiveLoss } from "./objective.ts";

/** What one optimiser step did: `loss` before the update, `gradNorm` before clipping. */
export interface StepRecord {
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
}

/** Names of the head's tensors, the same in the wrapped and the plain layout. */
export const HEAD_TENSORS = {
  denseWeight: "classifier.dense.weight",
  denseBias: "classifier.dense.bias",
  outWeight: "classifier.out_proj.weight",
  outBias: "classifier.out_proj.bias",
} as const;

/** Trains the classification head on features that were encoded once (DESIGN section 7, classifier only). */
export class HeadTrainer {
  readonly #head: HeadWeights;
  readonly #features: readonly Float32Array[];
  readonly #optimiser: AdamW;
  readonly #maxGradNorm: number;

  /**
   * @param weights tensors named as in `HEAD_TENSORS`; copied
   * @param features of every row of the sample set, [features] each
   */
  constructor(
    weights: ReadonlyMap<string, Tensor>,
    features: readonly Float32Array[],
    { optimiser, maxGradNorm }: { readonly optimiser: Partial<AdamWSettings>; readonly maxGradNorm: number },
  ) {
    const copy = (name: string): Float32Array => {
      const tensor = weights.get(name);
      if (!tensor) throw new Error(`the head's tensor '${name}' is missing`);
      return Float32Array.from(tensor.data);
    };
    this.#head = {
      denseWeight: copy(HEAD_TENSORS.denseWeight),
      denseBias: copy(HEAD_TENSORS.denseBias),
      outWeight: copy(HEAD_TENSORS.outWeight),
      outBias: copy(HEAD_TENSORS.outBias),
    };
    this.#features = features;
    this.#optimiser = new AdamW(optimiser);
    this.#maxGradNorm = maxGradNorm;
  }

  step(batch: readonly Example[], learningRate: number): StepRecord {
    const gradients = zeroGradients(this.#head);
    let loss = 0;
    for (const { row, objective, weight } of batch) {
      const features = this.#features[row]!;
      const activations = headForward(this.#head, features);
      loss += weight * objectiveLoss(activations.logits, objective);
      const logitGradient = objectiveGradient(activations.logits, objective).map((g) => g * weight);
      headBackward(this.#head, features, activations, logitGradient, gradients);
    }
    const gradNorm = Math.sqrt(
      Object.values(gradients).reduce((sum: number, part: Float64Array) => sum + squareSum(part), 0),
    );
    const factor = clipFactor(gradNorm, this.#maxGradNorm);
    const named = (values: (key: keyof HeadWeights) => Float32Array): Map<string, Float32Array> =>
      new Map(Object.entries(HEAD_TENSORS).map(([key, name]) => [name, values(key as keyof HeadWeights)]));
    this.#optimiser.step(
      named((key) => this.#head[key]),
      named((key) => Float32Array.from(gradients[key], (g) => g * factor)),
      learningRate,
    );
    return { loss, gradNorm, learningRate };
  }

  /** Logits of a row of the sample set with the head as it is now. */
  logits(row: number): Float64Array {
    return headForward(this.#head, this.#features[row]!).logits;
  }

  /** A copy of the head's weights, by tensor name. */
  weights(): Map<string, Float32Array> {
    return new Map(
      Object.entries(HEAD_TENSORS).map(([key, name]) => [
        name,
        Float32Array.from(this.#head[key as keyof HeadWeights]),
      ]),
    );
  }
}

function squareSum(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum;
}
