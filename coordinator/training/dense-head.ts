import { denseBackward, denseForward, denseInputSlope } from "./dense-layer.ts";
import type { Head, HeadTensors } from "./head.ts";

/** RoBERTa's head, which the published wrapper puts on T5 too: dense, tanh, out_proj. */
export function denseHead(
  names: Extract<HeadTensors, { kind: "dense" }>,
  weights: ReadonlyMap<string, Float32Array>,
): Head {
  const bias = weights.get(names.denseBias)!;
  const weight = weights.get(names.denseWeight)!;
  const dense = { weight, bias, inputs: weight.length / bias.length };
  const out = {
    weight: weights.get(names.outWeight)!,
    bias: weights.get(names.outBias)!,
    inputs: bias.length,
  };
  return {
    weights,
    forward(features) {
      const input = new Float64Array(features);
      const hidden = denseForward(dense, input).map(Math.tanh);
      return { input, hidden, logits: denseForward(out, hidden) };
    },
    backward(rows, into) {
      denseBackward(
        rows.map(({ activations, slope }) => ({ x: activations.hidden, slope })),
        { weight: into.get(names.outWeight)!, bias: into.get(names.outBias)! },
      );
      const below = rows.map(({ activations: { input, hidden }, slope }) => ({
        x: input,
        slope: denseInputSlope(out, slope).map((g, o) => g * (1 - hidden[o]! * hidden[o]!)),
      }));
      denseBackward(below, { weight: into.get(names.denseWeight)!, bias: into.get(names.denseBias)! });
    },
  };
}
