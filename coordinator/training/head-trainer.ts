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

/** Names of a head's tensors, as the checkpoint's layout has them. */
export type HeadTensors = Readonly<Record<keyof HeadWeights, string>>;

/** Trains the classification head on features that were encoded once (DESIGN section 7, classifier only). */
export class HeadTrainer {
  readonly #head: HeadWeights;
  readonly #names: readonly (readonly [keyof HeadWeights, string])[];
  readonly #features: readonly Float32Array[];
  readonly #optimiser: AdamW;
  readonly #maxGradNorm: number;

  /**
   * @param weights tensors of which those that `names` names are the head's; copied
   * @param features of every row of the sample set, [features] each
   */
  constructor(
    weights: ReadonlyMap<string, Tensor>,
    names: HeadTensors,
    features: readonly Float32Array[],
    { optimiser, maxGradNorm }: { readonly optimiser: Partial<AdamWSettings>; readonly maxGradNorm: number },
  ) {
    const copy = (name: string): Float32Array => {
      const tensor = weights.get(name);
      if (!tensor) throw new Error(`the head's tensor '${name}' is missing`);
      return Float32Array.from(tensor.data);
    };
    this.#head = {
      denseWeight: copy(names.denseWeight),
      denseBias: copy(names.denseBias),
      outWeight: copy(names.outWeight),
      outBias: copy(names.outBias),
    };
    const { denseWeight, denseBias, outWeight, outBias } = names;
    this.#names = Object.entries({ denseWeight, denseBias, outWeight, outBias }) as [
      keyof HeadWeights,
      string,
    ][];
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
      new Map(this.#names.map(([key, name]) => [name, values(key)]));
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
    return new Map(this.#names.map(([key, name]) => [name, Float32Array.from(this.#head[key])]));
  }
}

function squareSum(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum;
}
