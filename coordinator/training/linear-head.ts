import type { Head, HeadTensors } from "./head.ts";

const NOTHING = new Float64Array(0);

/** GPT-BigCode's head: one layer without bias. */
export function linearHead(
  { weight: name }: Extract<HeadTensors, { kind: "linear" }>,
  weights: ReadonlyMap<string, Float32Array>,
): Head {
  const weight = weights.get(name)!;
  return {
    weights,
    forward(features) {
      const size = features.length;
      const logits = new Float64Array(weight.length / size);
      for (let c = 0; c < logits.length; c++) {
        let sum = 0;
        for (let i = 0; i < size; i++) sum += weight[c * size + i]! * features[i]!;
        logits[c] = sum;
      }
      return { hidden: NOTHING, logits };
    },
    backward(features, _activations, logitGradient, into) {
      const size = features.length;
      const to = into.get(name)!;
      for (let c = 0; c < logitGradient.length; c++) {
        const g = logitGradient[c]!;
        for (let i = 0; i < size; i++) to[c * size + i] = to[c * size + i]! + g * features[i]!;
      }
    },
  };
}
