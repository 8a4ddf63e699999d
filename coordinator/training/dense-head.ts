import type { Head, HeadTensors } from "./head.ts";

/** RoBERTa's head, which the published wrapper puts on T5 too: dense, tanh, out_proj. */
export function denseHead(
  names: Extract<HeadTensors, { kind: "dense" }>,
  weights: ReadonlyMap<string, Float32Array>,
): Head {
  const [denseWeight, denseBias] = [weights.get(names.denseWeight)!, weights.get(names.denseBias)!];
  const [outWeight, outBias] = [weights.get(names.outWeight)!, weights.get(names.outBias)!];
  const hiddenSize = denseBias.length;
  const size = denseWeight.length / hiddenSize;
  const classes = outBias.length;
  return {
    weights,
    forward(features) {
      const hidden = new Float64Array(hiddenSize);
      for (let o = 0; o < hiddenSize; o++) {
        let sum = denseBias[o]!;
        const start = o * size;
        for (let i = 0; i < size; i++) sum += denseWeight[start + i]! * features[i]!;
        hidden[o] = Math.tanh(sum);
      }
      const logits = new Float64Array(classes);
      for (let c = 0; c < classes; c++) {
        let sum = outBias[c]!;
        for (let o = 0; o < hiddenSize; o++) sum += outWeight[c * hiddenSize + o]! * hidden[o]!;
        logits[c] = sum;
      }
      return { hidden, logits };
    },
    backward(features, { hidden }, logitGradient, into) {
      const [toDense, toDenseBias] = [into.get(names.denseWeight)!, into.get(names.denseBias)!];
      const [toOut, toOutBias] = [into.get(names.outWeight)!, into.get(names.outBias)!];
      const hiddenGradient = new Float64Array(hiddenSize);
      for (let c = 0; c < classes; c++) {
        const g = logitGradient[c]!;
        toOutBias[c] = toOutBias[c]! + g;
        for (let o = 0; o < hiddenSize; o++) {
          const at = c * hiddenSize + o;
          toOut[at] = toOut[at]! + g * hidden[o]!;
          hiddenGradient[o] = hiddenGradient[o]! + g * outWeight[at]!;
        }
      }
      for (let o = 0; o < hiddenSize; o++) {
        const g = hiddenGradient[o]! * (1 - hidden[o]! * hidden[o]!);
        toDenseBias[o] = toDenseBias[o]! + g;
        const start = o * size;
        for (let i = 0; i < size; i++) toDense[start + i] = toDense[start + i]! + g * features[i]!;
      }
    },
  };
}
