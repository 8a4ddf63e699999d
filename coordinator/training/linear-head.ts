import { denseBackward, denseForward } from "./dense-layer.ts";
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
      const input = new Float64Array(features);
      return { input, hidden: NOTHING, logits: denseForward({ weight, inputs: input.length }, input) };
    },
    backward(rows, into) {
      denseBackward(
        rows.map(({ activations, slope }) => ({ x: activations.input, slope })),
        { weight: into.get(name)! },
      );
    },
  };
}
