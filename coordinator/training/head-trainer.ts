import type { AdamWSettings, Tensor } from "../../proto/operations.ts";
import { AdamW } from "../../worker/training/adamw.ts";
import { clipFactor } from "../../worker/training/gradients.ts";
import { objectiveGradient, objectiveLoss } from "../../worker/training/objective.ts";
import { DivergedError } from "./diverged.ts";
import type { Example } from "./example.ts";
import { createHead, type Head, type HeadTensors } from "./head.ts";

/** What one optimiser step did: `loss` before the update, `gradNorm` before clipping. */
export interface StepRecord {
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
}

/** Trains the classification head on features that were encoded once (DESIGN section 7, classifier only). */
export class HeadTrainer {
  readonly #head: Head;
  readonly #features: readonly Float32Array[];
  readonly #optimiser: AdamW;
  readonly #maxGradNorm: number;

  /**
   * @param weights tensors of which those that `names` names are the head's; copied
   * @param features of every row of the sample set, [features] each
   */
  constructor(
    weights: ReadonlyMap<string, Pick<Tensor, "data">>,
    names: HeadTensors,
    features: readonly Float32Array[],
    { optimiser, maxGradNorm }: { readonly optimiser: Partial<AdamWSettings>; readonly maxGradNorm: number },
  ) {
    this.#head = createHead(names, weights);
    this.#features = features;
    this.#optimiser = new AdamW(optimiser);
    this.#maxGradNorm = maxGradNorm;
  }

  /** @throws DivergedError where loss or gradient are not finite; the weights stay as they were */
  step(batch: readonly Example[], learningRate: number): StepRecord {
    const { weights } = this.#head;
    const gradients = new Map([...weights].map(([name, { length }]) => [name, new Float64Array(length)]));
    let loss = 0;
    const rows = batch.map(({ row, objective, weight }) => {
      const activations = this.#head.forward(this.#features[row]!);
      loss += weight * objectiveLoss(activations.logits, objective);
      return { activations, slope: objectiveGradient(activations.logits, objective).map((g) => g * weight) };
    });
    this.#head.backward(rows, gradients);
    const gradNorm = Math.sqrt([...gradients.values()].reduce((sum, part) => sum + squareSum(part), 0));
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
      throw new DivergedError(`the head's loss is ${loss}, the norm of its gradient ${gradNorm}`);
    }
    const factor = clipFactor(gradNorm, this.#maxGradNorm);
    const clipped = new Map(
      [...gradients].map(([name, part]) => [name, new Float32Array(scaled(part, factor))]),
    );
    this.#optimiser.step(weights, clipped, learningRate);
    return { loss, gradNorm, learningRate };
  }

  /** Logits of a row of the sample set with the head as it is now. */
  logits(row: number): Float64Array {
    return this.#head.forward(this.#features[row]!).logits;
  }

  /** A copy of the head's weights, by tensor name. */
  weights(): Map<string, Float32Array> {
    return new Map([...this.#head.weights].map(([name, data]) => [name, Float32Array.from(data)]));
  }
}

function scaled(values: Float64Array, factor: number): Float64Array {
  for (let i = 0; i < values.length; i++) values[i]! *= factor;
  return values;
}

function squareSum(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum;
}
