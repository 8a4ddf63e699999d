/**
 * The classification head of the published models, trained on cached features: dense → tanh → out_proj. Forward and backward
 * in float64 from float32 weights; the encoder takes no part, so an epoch costs next to nothing.
 */
export interface HeadWeights {
  /** [hidden, features], [hidden], [classes, hidden], [classes]; changed in place by training. */
  readonly denseWeight: Float32Array;
  readonly denseBias: Float32Array;
  readonly outWeight: Float32Array;
  readonly outBias: Float32Array;
}

export interface HeadShape {
  readonly features: number;
  readonly hidden: number;
  readonly classes: number;
}

export function headShape(weights: HeadWeights): HeadShape {
  const hidden = weights.denseBias.length;
  return { hidden, features: weights.denseWeight.length / hidden, classes: weights.outBias.length };
}

interface Activations {
  /** tanh output [hidden] and logits [classes] of one row. */
  readonly hidden: Float64Array;
  readonly logits: Float64Array;
}

/** Logits of one row's features. */
export function headForward(weights: HeadWeights, features: Float32Array): Activations {
  const shape = headShape(weights);
  const hidden = new Float64Array(shape.hidden);
  for (let o = 0; o < shape.hidden; o++) {
    let sum = weights.denseBias[o]!;
    const start = o * shape.features;
    for (let i = 0; i < shape.features; i++) sum += weights.denseWeight[start + i]! * features[i]!;
    hidden[o] = Math.tanh(sum);
  }
  const logits = new Float64Array(shape.classes);
  for (let c = 0; c < shape.classes; c++) {
    let sum = weights.outBias[c]!;
    for (let o = 0; o < shape.hidden; o++) sum += weights.outWeight[c * shape.hidden + o]! * hidden[o]!;
    logits[c] = sum;
  }
  return { hidden, logits };
}

/** Gradients of a head, in the order of its weights. */
export interface HeadGradients {
  readonly denseWeight: Float64Array;
  readonly denseBias: Float64Array;
  readonly outWeight: Float64Array;
  readonly outBias: Float64Array;
}

export function zeroGradients(weights: HeadWeights): HeadGradients {
  return {
    denseWeight: new Float64Array(weights.denseWeight.length),
    denseBias: new Float64Array(weights.denseBias.length),
    outWeight: new Float64Array(weights.outWeight.length),
    outBias: new Float64Array(weights.outBias.length),
  };
}

/** Adds one row's gradients, given ∂loss/∂logits [classes]. */
export function headBackward(
  weights: HeadWeights,
  features: Float32Array,
  { hidden }: Activations,
  logitGradient: Float64Array,
  into: HeadGradients,
): void {
  const shape = headShape(weights);
  const hiddenGradient = new Float64Array(shape.hidden);
  for (let c = 0; c < shape.classes; c++) {
    const g = logitGradient[c]!;
    into.outBias[c] = into.outBias[c]! + g;
    for (let o = 0; o < shape.hidden; o++) {
      const at = c * shape.hidden + o;
      into.outWeight[at] = into.outWeight[at]! + g * hidden[o]!;
      hiddenGradient[o] = hiddenGradient[o]! + g * weights.outWeight[at]!;
    }
  }
  for (let o = 0; o < shape.hidden; o++) {
    const g = hiddenGradient[o]! * (1 - hidden[o]! * hidden[o]!);
    into.denseBias[o] = into.denseBias[o]! + g;
    const start = o * shape.features;
    for (let i = 0; i < shape.features; i++) {
      into.denseWeight[start + i] = into.denseWeight[start + i]! + g * features[i]!;
    }
  }
}
