import type { AdamWSettings } from "../../proto/operations.ts";

export const ADAMW_DEFAULTS: AdamWSettings = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 };

/** Parameters that weight decay leaves alone, by the published rule on their names. */
export const isDecayed = (name: string): boolean =>
  !name.includes("bias") && !name.includes("LayerNorm.weight");

export interface Moments {
  /** Running means of the gradient and of its square, one per weight. */
  readonly mean: Float32Array;
  readonly square: Float32Array;
}

/**
 * The published code's optimiser: `transformers.AdamW`, which differs from `torch.optim.AdamW` in where ε and the weight decay
 * stand (`golden/README.md`, "Optimiser"). Updates parameters in place, one step at a time.
 */
export class AdamW {
  readonly #settings: AdamWSettings;
  readonly #moments: Map<string, Moments>;
  #steps: number;

  /** @param state where an earlier one was left; its moments are changed in place. Absent: no step was done. */
  constructor(
    settings: Partial<AdamWSettings> = {},
    state: { readonly steps: number; readonly moments: ReadonlyMap<string, Moments> } = {
      steps: 0,
      moments: new Map(),
    },
  ) {
    this.#settings = { ...ADAMW_DEFAULTS, ...settings };
    this.#steps = state.steps;
    this.#moments = new Map(state.moments);
  }

  /** Of each parameter that ever had a gradient. */
  get moments(): ReadonlyMap<string, Moments> {
    return this.#moments;
  }

  /**
   * One update: the moments always move, the weights by the learning rate; a parameter without a gradient keeps both.
   *
   * @param parameters name → weights, changed in place
   * @param gradients name → gradient of the same length
   */
  step(
    parameters: ReadonlyMap<string, Float32Array>,
    gradients: Iterable<readonly [string, Float32Array]>,
    learningRate: number,
  ): void {
    const { beta1, beta2, eps, weightDecay } = this.#settings;
    this.#steps++;
    const stepSize = (learningRate * Math.sqrt(1 - beta2 ** this.#steps)) / (1 - beta1 ** this.#steps);
    for (const [name, gradient] of gradients) {
      const weights = parameters.get(name);
      if (!weights || weights.length !== gradient.length) {
        throw new Error(
          `gradient of '${name}' has ${gradient.length} values, its parameter ${weights?.length ?? "does not exist"}`,
        );
      }
      const moments = this.#momentsOf(name, weights.length);
      const decay = isDecayed(name) ? learningRate * weightDecay : 0;
      update(weights, gradient, moments, { beta1, beta2, eps, stepSize, decay });
    }
  }

  #momentsOf(name: string, length: number): Moments {
    const known = this.#moments.get(name);
    if (known) return known;
    const fresh = { mean: new Float32Array(length), square: new Float32Array(length) };
    this.#moments.set(name, fresh);
    return fresh;
  }
}

/** The arithmetic of one parameter. Moments are stored as float32, as PyTorch stores them. */
function update(
  weights: Float32Array,
  gradient: Float32Array,
  { mean, square }: Moments,
  rule: { beta1: number; beta2: number; eps: number; stepSize: number; decay: number },
): void {
  const { beta1, beta2, eps, stepSize, decay } = rule;
  for (let i = 0; i < weights.length; i++) {
    const g = gradient[i]!;
    mean[i] = beta1 * mean[i]! + (1 - beta1) * g;
    square[i] = beta2 * square[i]! + (1 - beta2) * g * g;
    const moved = Math.fround(weights[i]! - (stepSize * mean[i]!) / (Math.sqrt(square[i]!) + eps));
    weights[i] = moved - decay * moved;
  }
}
