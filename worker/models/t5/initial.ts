import type { Initial } from "../architecture.ts";
import type { T5Config } from "./config.ts";

/**
 * As Hugging Face initialises T5, so that attention need not be scaled; the head's matrices with the variance of torch's `Linear`, its
 * biases 0.
 */
export function initialT5(config: T5Config, name: string, shape: readonly number[]): Initial {
  const normal = (deviation: number): Initial => ({
    kind: "normal",
    deviation: deviation * config.initializerFactor,
  });
  const { hiddenSize, headSize, heads, intermediateSize } = config;
  if (name.endsWith("layer_norm.weight")) return { kind: "constant", value: config.initializerFactor };
  if (name.endsWith(".q.weight")) return normal((hiddenSize * headSize) ** -0.5);
  if (name.endsWith(".o.weight")) return normal((heads * headSize) ** -0.5);
  if (name.endsWith(".wo.weight")) return normal(intermediateSize ** -0.5);
  if (/\.(k|v|wi|wi_0|wi_1|relative_attention_bias)\.weight$/.test(name)) return normal(hiddenSize ** -0.5);
  if (name.startsWith("classifier.")) {
    return name.endsWith("bias")
      ? { kind: "constant", value: 0 }
      : { kind: "normal", deviation: (3 * shape[1]!) ** -0.5 };
  }
  return normal(1);
}
